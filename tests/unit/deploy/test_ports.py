"""A named port is taken as named or refused with a sentence; otherwise a free one is found."""

import socket

import pytest

from deploy.local.errors import LocalStackError, PortTaken
from deploy.local.ports import free_port, is_free, port_named_or_free, port_setting


def test_a_taken_port_is_named_together_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken) as taken:
            port_named_or_free(port, setting="AFFLUX_KAFKA_PORT")
    assert str(taken.value) == (
        f"port {port} is taken; "
        "set AFFLUX_KAFKA_PORT to a free port, or unset it to have one chosen"
    )


def test_a_free_port_is_used_as_named() -> None:
    port = free_port()
    assert port_named_or_free(port, setting="AFFLUX_KAFKA_PORT") == port


def test_without_a_name_a_free_port_is_found() -> None:
    assert is_free(port_named_or_free(None, setting="AFFLUX_KAFKA_PORT"))


@pytest.mark.parametrize(("text", "port"), [("9092", 9092), ("", None)])
def test_a_port_setting_is_a_number_or_absent(text: str, port: int | None) -> None:
    assert port_setting({"AFFLUX_KAFKA_PORT": text}, "AFFLUX_KAFKA_PORT") == port


@pytest.mark.parametrize("text", ["zero", "0", "65536", "-1", "9092 "])
def test_a_setting_that_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(LocalStackError, match="AFFLUX_KAFKA_PORT must be a port"):
        port_setting({"AFFLUX_KAFKA_PORT": text}, "AFFLUX_KAFKA_PORT")
