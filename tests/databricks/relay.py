"""What stands between the connector's library and Spark's Thrift server, as at Databricks.

The library speaks Databricks' dialect of HiveServer2's protocol, Spark the original. The relay
passes every call on and adds what the dialect has: TLS, a token, the protocol's version, the form
of a result beside it, the names of what a session can set. Every statement is kept, for
those who want to know what a reader sends. All else is Spark's.
"""

import base64
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.THttpClient import THttpClient
from thrift.transport.TTransport import TMemoryBuffer

from tests.databricks.certificate import Certificate

PATH = "/sql/1.0/warehouses/afflux"
TOKEN = "token of the reader"
HIVE = ttypes.TProtocolVersion.HIVE_CLI_SERVICE_PROTOCOL_V10
DATABRICKS = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
IN_COLUMNS = ttypes.TSparkRowSetType.COLUMN_BASED_SET


@dataclass(slots=True)
class Relay:
    """One that answers."""

    port: int
    statements: list[str] = field(default_factory=list)
    running: int = 0
    """So often somebody was told that his query still runs."""
    cancelled: int = 0


class _Calls:
    """What `TCLIService.Processor` asks: every method is passed on, some with a change."""

    def __init__(self, spark: str, relay: Relay) -> None:
        self._transport = THttpClient(spark)
        self._transport.setCustomHeaders({"Authorization": f"Basic {_ANYBODY}"})
        self._spark = TCLIService.Client(TBinaryProtocol(self._transport))
        self._relay = relay

    def close(self) -> None:
        self._transport.close()

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        call: Callable[[Any], Any] = getattr(self._spark, name)
        return call

    def OpenSession(self, asked: Any) -> Any:  # noqa: N802 (the protocol's name)
        asked.client_protocol = HIVE
        given: Mapping[str, str] = asked.configuration or {}
        asked.configuration = {_OF_SPARK[name]: given[name] for name in _OF_SPARK if name in given}
        answer = self._spark.OpenSession(asked)
        answer.serverProtocolVersion = DATABRICKS
        return answer

    def ExecuteStatement(self, asked: Any) -> Any:  # noqa: N802
        self._relay.statements.append(" ".join(asked.statement.split()))
        asked.confOverlay = {}
        return self._spark.ExecuteStatement(asked)

    def GetOperationStatus(self, asked: Any) -> Any:  # noqa: N802
        answer = self._spark.GetOperationStatus(asked)
        self._relay.running += answer.operationState == ttypes.TOperationState.RUNNING_STATE
        return answer

    def CancelOperation(self, asked: Any) -> Any:  # noqa: N802
        self._relay.cancelled += 1
        return self._spark.CancelOperation(asked)

    def GetResultSetMetadata(self, asked: Any) -> Any:  # noqa: N802
        answer = self._spark.GetResultSetMetadata(asked)
        answer.resultFormat = IN_COLUMNS
        return answer

    def FetchResults(self, asked: Any) -> Any:  # noqa: N802
        """Spark's clients fetch until nothing comes, Databricks' are told."""
        answer = self._spark.FetchResults(asked)
        answer.hasMoreRows = answer.results is not None and _rows(answer.results) > 0
        if asked.includeResultSetMetadata and answer.results is not None:
            handle = ttypes.TGetResultSetMetadataReq(operationHandle=asked.operationHandle)
            answer.resultSetMetadata = self.GetResultSetMetadata(handle)
        return answer


def _rows(results: Any) -> int:
    """In each of its columns, of which only the one of the right type is there."""
    first = results.columns[0] if results.columns else None
    filled = [part for part in vars(first).values() if part is not None] if first else []
    return len(filled[0].values) if filled else 0


_ANYBODY = base64.b64encode(b"anybody:any").decode()
_OF_SPARK = {
    "STATEMENT_TIMEOUT": "set:hiveconf:spark.sql.thriftServer.queryTimeout",
    "TIMEZONE": "set:hiveconf:spark.sql.session.timeZone",
}
"""What Databricks calls a setting of a session → what its protocol's origin does."""


def _handler(spark: str, relay: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != PATH:
                self._answer(404, b"")
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._answer(403, b"")
            else:
                with closing(_Calls(spark, relay)) as calls:
                    self._answer(200, _answer(calls, body))

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/x-thrift")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _answer(calls: _Calls, body: bytes) -> bytes:
    answer = TMemoryBuffer()
    TCLIService.Processor(calls).process(
        TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(answer)
    )
    return bytes(answer.getvalue())


@contextmanager
def relaying(spark: str, certificate: Certificate) -> Iterator[Relay]:
    """`spark`: the address of its Thrift server."""
    relay = Relay(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(spark, relay))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    relay.port = server.server_address[1]
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
