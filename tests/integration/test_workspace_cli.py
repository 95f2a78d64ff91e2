"""The command line as a person meets it: what is printed, and the exit codes."""

from pathlib import Path

import pytest

from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from services.control.apply import needed_topics
from services.control.broker import broker
from services.control.cli import run
from services.control.definitions_log import read_definitions
from services.runtime.health import Health, serve
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics

SEGMENT = "kind: segment\nid: pro\nwhere: {trait: plan, op: equals, value: pro}\n"
EDITED = "kind: segment\nid: pro\nwhere: {trait: plan, op: equals, value: team}\n"
DESTINATION = """\
kind: destination
id: cli-ads
type: webhook
settings: {base_url: "https://ads.example", secret: env:ADS_SECRET}
audiences: [{segment: pro}]
"""


@pytest.fixture
def bootstrap(kafka: KafkaAddress, monkeypatch: pytest.MonkeyPatch) -> str:
    recreate_topics(kafka.bootstrap, [DEFINITIONS, DEAD_LETTERS], 2)
    monkeypatch.setenv("AFFLUX_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("AFFLUX_PARTITIONS", "2")
    return kafka.bootstrap


def write(folder: Path, *documents: str) -> str:
    (folder / "all.yaml").write_text("---\n".join(documents), encoding="utf-8")
    return str(folder)


def test_a_workspace_comes_into_force(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, SEGMENT, DESTINATION)
    new = "+ destination cli-ads (new)\n+ segment pro (new)\n"
    for command, printed in [
        (["diff", folder], new),
        (["apply", folder], new),
        (["apply", folder], "nothing to change\n"),
        (["diff", folder], "nothing to change\n"),
    ]:
        assert (run(command), *capsys.readouterr()) == (0, printed, "")
    bodies = {key: d.body for key, d in read_definitions(bootstrap).items()}
    assert b"env:ADS_SECRET" in bodies["destination", "cli-ads"]
    names = {topic.name for topic in (*needed_topics(), activations("cli-ads"))}
    assert names <= set(broker(bootstrap).list_topics(timeout=5).topics)


def test_what_is_gone_is_left_until_prune(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["apply", write(tmp_path, SEGMENT, DESTINATION)]) == 0
    folder = write(tmp_path, EDITED)
    capsys.readouterr()
    edited = "~ segment pro version 1 → 2\n"
    left = "- destination cli-ads in the log but not in the files; --prune archives it\n"
    for command, printed in [
        (["apply", folder], edited + left),
        (["apply", folder], left + "nothing to change\n"),
        (["apply", folder, "--prune"], "- destination cli-ads version 1 → 2 (archived)\n"),
        (["apply", folder, "--prune"], "nothing to change\n"),
    ]:
        assert (run(command), *capsys.readouterr()) == (0, printed, "")


def test_s5_a_segment_is_paused_and_resumed_and_apply_leaves_it_so(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, SEGMENT)
    assert run(["apply", folder]) == 0
    capsys.readouterr()
    for command, printed in [
        (["segment", "pause", "pro"], "~ segment pro version 1 → 2 (paused)\n"),
        (["segment", "pause", "pro"], "pro is paused already\n"),
        (["apply", folder], "nothing to change\n"),
        (["segment", "resume", "pro"], "~ segment pro version 2 → 3 (resumed)\n"),
        (["segment", "resume", "pro"], "pro is not paused\n"),
    ]:
        assert (run(command), *capsys.readouterr()) == (0, printed, "")
    assert run(["segment", "pause", "por"]) == 2
    assert "no segment `por` is in force, did you mean `pro`?" in capsys.readouterr().err
    assert read_definitions(bootstrap)["segment", "pro"].state == "live"


def test_nothing_of_a_faulty_workspace_is_applied(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, SEGMENT, "kind: segment\nid: broken\n")
    fault = f"{folder}/all.yaml:5 segment broken: where: is missing\n"
    assert (run(["apply", folder]), *capsys.readouterr()) == (1, "", fault)
    assert (run(["validate", folder]), *capsys.readouterr()) == (1, fault, "")
    assert read_definitions(bootstrap) == {}


def test_a_second_set_of_identity_rules_is_refused_unless_pruned(
    bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["apply", write(tmp_path, "kind: identity\nid: old\n")]) == 0
    folder = write(tmp_path, "kind: identity\nid: new\n")
    capsys.readouterr()
    for command in ("diff", "apply"):
        assert run([command, folder]) == 1
        assert "identity `old` is in force and the files hold `new`" in capsys.readouterr().err
    assert run(["apply", folder, "--prune"]) == 0
    states = {id: d.state for (_, id), d in read_definitions(bootstrap).items()}
    assert states == {"old": "archived", "new": "live"}


def test_status_shows_who_lags_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ahead, behind = Health("segmenter"), Health("router", worker=1)
    ahead.definitions = lambda: {"segment:pro": 3}
    behind.definitions = lambda: {"segment:pro": 2}
    ahead.ready()
    behind.not_ready("waiting for Kafka")
    servers = [serve(health, "127.0.0.1", 0) for health in (ahead, behind)]
    urls = [f"http://127.0.0.1:{server.port}" for server in servers]
    try:
        monkeypatch.setenv("AFFLUX_STATUS_URLS", ", ".join([*urls, "http://127.0.0.1:1"]))
        assert run(["status"]) == 1
        lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
        assert ["segmenter", "0", "yes", "1"] in lines
        assert ["router", "1", "no:", "waiting", "for", "Kafka", "1"] in lines
        assert ["segment:pro", "2", "(newest", "3)"] in lines
        assert ["http://127.0.0.1:1", "no:", "does", "not", "answer"] in lines
        monkeypatch.setenv("AFFLUX_STATUS_URLS", urls[0])
        assert run(["status"]) == 0
    finally:
        for server in servers:
            server.close()


def test_validate_warns_of_an_event_that_never_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, "kind: segment\nid: bought\nwhere: {event: Order}\n")
    health = Health("segmenter")
    health.details = lambda: {"events": ["Order Completed"]}
    server = serve(health, "127.0.0.1", 0)
    warning = (
        f"{folder}/all.yaml:3 segment bought: where.event: "
        "warning: no event `Order` ever came, did you mean `Order Completed`?\n"
    )
    fine = "1 documents, nothing wrong\n"
    try:
        monkeypatch.setenv("AFFLUX_STATUS_URLS", f"http://127.0.0.1:{server.port}")
        assert (run(["validate", folder]), *capsys.readouterr()) == (0, warning + fine, "")
    finally:
        server.close()
    assert (run(["validate", folder]), *capsys.readouterr()) == (0, fine, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["diff", "{folder}"], "no Kafka answers at 127.0.0.1:1: start it with `afflux dev`"),
        (["apply", "{folder}"], "no Kafka answers at 127.0.0.1:1: start it with `afflux dev`"),
        (["dead-letters", "count"], "no Kafka answers at 127.0.0.1:1"),
        (["validate", "{folder}/nowhere"], "does not exist"),
        (["validat"], "Unknown command"),
    ],
)
def test_trouble_is_a_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AFFLUX_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    folder = write(tmp_path, SEGMENT)
    assert run([argument.format(folder=folder) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert sentence in " ".join(said.err.replace("│", " ").split())
    assert "Traceback" not in said.err
