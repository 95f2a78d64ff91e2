"""The load generator: a process of its own that sends prepared requests over open connections.

Reads one JSON line a run from its input, says `prepared`, waits for an empty line, sends, and says
what came of it.
"""

import asyncio
import base64
import sys
import time
from collections.abc import Sequence

import msgspec

from bench.workload import BATCH, Arrival, Workload

CONNECTIONS = 16
WRITE_KEY = "bench-key"


class Order(msgspec.Struct, frozen=True):
    """One run to send."""

    port: int
    run: int
    events: int
    beat_every: int = 1
    per_second: float = 0.0
    """Events; 0 sends as fast as the answers come."""
    arrival: bool = False

    def workload(self) -> Workload | Arrival:
        return Arrival() if self.arrival else Workload(self.run, self.events, self.beat_every)


class Sent(msgspec.Struct, frozen=True):
    """What came of it."""

    seconds: float
    accepted: int
    refused: int


def main() -> None:
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        requests = [_request(body) for body in order.workload().bodies()]
        print("prepared", flush=True)
        sys.stdin.readline()
        sent = asyncio.run(_send(order, requests))
        print(msgspec.json.encode(sent).decode(), flush=True)


async def _send(order: Order, requests: Sequence[bytes]) -> Sent:
    began = time.monotonic()
    statuses = await asyncio.gather(
        *(_connection(order, requests, number, began) for number in range(CONNECTIONS))
    )
    accepted = sum(status == 200 for each in statuses for status in each)
    return Sent(time.monotonic() - began, accepted * BATCH, (len(requests) - accepted) * BATCH)


async def _connection(
    order: Order, requests: Sequence[bytes], number: int, began: float
) -> list[int]:
    """Every sixteenth request, each at its time or as soon as the one before is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", order.port)
    statuses = []
    for place in range(number, len(requests), CONNECTIONS):
        if order.per_second:
            due = began + place * BATCH / order.per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(requests[place])
        statuses.append(await _status(reader))
    writer.close()
    await writer.wait_closed()
    return statuses


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head[9:12])


def _request(body: bytes) -> bytes:
    token = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
    head = (
        "POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
