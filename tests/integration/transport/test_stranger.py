"""A worker written from docs/protocol.md alone passes; each mistake that one could make is found."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

from poolproof.cli import conformance
from poolproof.errors import UsageError
from poolproof.transport import stranger
from poolproof.transport.base import Command
from poolproof.transport.process import ProcessTransport
from poolproof.transport.stage import Stage

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]

TINY = (sys.executable, "-S", str(Path(__file__).with_name("tiny_worker.py")))
MISTAKES = {
    "outlives its connection": "ends with its connection",
    "expects whole frames": "bears a frame in pieces",
    "believes any magic": "ends at another magic",
    "believes any version": "ends at another version",
    "waits for any length": "ends at a frame above the bound, without waiting for it",
    "ignores the sequence": "drops a frame that comes twice",
    "does not count its frames": "returns every kind of value",
    "ends without a word": "ends at a body that is no MessagePack",
    "claims to mark": "says that it is ready",
    "keeps its first epoch": "takes a new epoch",
    "answers the last first": "answers each request of a batch once, in order",
    "forgets every seventh": "answers each request of a batch once, in order",
    "forgets the nonce": "answers a ping after the requests before it",
    "leaves with a bad status": "leaves when told, with status 0",
    "does stale requests": "refuses a request of another epoch",
    "does expired requests": "does not begin a request whose deadline has passed",
    "dies of an error": "tells what its handler raised, and goes on",
    "rounds": "returns every kind of value",
    "sends short errors": "tells what its handler raised, and goes on",
}
PROMISES = {promise.sentence: promise for promise in stranger.promises()}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTAKE", mistake)
    monkeypatch.setattr(stranger, "PATIENCE_SECONDS", 1.0)

    assert stranger._tried(PROMISES[MISTAKES[mistake]], TINY) is not None


def test_a_worker_written_from_the_page_keeps_every_promise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert conformance.run(Namespace(command=TINY)) == 0
    assert f"all {len(PROMISES)} promises kept" in capsys.readouterr().out


def test_the_command_tells_each_promise_that_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MISTAKE", "rounds")
    monkeypatch.setattr(stranger, "_promises", stranger._promises[:2])

    assert conformance.run(Namespace(command=TINY)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok    says that it is ready",
        "FAILS returns every kind of value: expected 0.0 back, got 0",
        "1 of 2 promises kept",
    ]


def test_a_command_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(UsageError, match="a program that can be started, got /no/such/program"):
        conformance.run(Namespace(command=["/no/such/program"]))


@pytest.mark.asyncio
async def test_a_pool_can_use_it() -> None:
    transport = ProcessTransport()
    await transport.open()
    try:
        worker = await Stage(transport).worker(Command(argv=TINY))

        assert await worker.ask({"a": [1, b"\0"]}) == {"a": [1, b"\0"]}
        [raising] = worker.send({"raise": "no"})
        assert (await worker.heard.error(raising)).message == "no"
        refused = await worker.heard.error(worker.send_list(1, 2))
        assert (refused.kind, refused.may_have_happened) == ("refused", False)
        await worker.link.ping(5)
        assert (await worker.link.terminate(5)).kind == "terminated"
    finally:
        await transport.close()


@pytest.mark.asyncio
async def test_one_that_dies_has_begun_all_it_was_sent() -> None:
    transport = ProcessTransport()
    await transport.open()
    try:
        worker = await Stage(transport).worker(Command(argv=TINY))
        worker.kill()
        sent = worker.send(1, 2, 3)
        end = await worker.heard.ending()

        assert (end.begun, end.untouched) == (tuple(sent), ())
    finally:
        await transport.close()
