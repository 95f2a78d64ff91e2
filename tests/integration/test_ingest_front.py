"""A process that has never seen a broker still answers what clients ask before they send."""

from tests.contract.ingest_server import ask, connected
from tests.integration.ingest_process import ingest_process

NOWHERE = "127.0.0.1:1"


def test_13_documents_are_served_before_anything_else_is_there() -> None:
    settings = {"AFFLUX_INGEST_PUBLIC_URL": "https://collect.example/in/"}
    with ingest_process(NOWHERE, settings) as running:
        segment_io = running.get("/v1/projects/ANY/settings").json["integrations"]["Segment.io"]
        assert (segment_io["apiHost"], segment_io["protocol"]) == ("collect.example/in/v1", "https")
        assert running.get("/sourceConfig?writeKey=ANY").json["source"]["enabled"] is True
        assert running.get("/health").status == 200
        assert running.get("/ready").status == 503
        assert running.get("/v1/pixel/track?writeKey=ANY&userId=u&event=e").body[:3] == b"GIF"
        assert running.post("/v1/track", {"userId": "u", "event": "e"}).status == 503
        with connected(running.port) as connection:
            token = ask(connection, "POST", "/token", b"grant_type=client_credentials")
        assert (token.status, token.json["error"]) == (503, "unavailable")
