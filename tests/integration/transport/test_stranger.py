"""A worker written from docs/protocol.md alone passes; each mistake that one could make is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolproof.transport import stranger
from poolproof.transport.base import Command
from poolproof.transport.conformance import Stage
from poolproof.transport.process import ProcessTransport

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


def test_a_worker_written_from_the_page_keeps_every_promise() -> None:
    assert {sentence: problem for sentence, problem in stranger.judged(TINY) if problem} == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTAKE", mistake)
    monkeypatch.setattr(stranger, "PATIENCE_SECONDS", 1.0)

    assert stranger._tried(PROMISES[MISTAKES[mistake]], TINY) is not None


def test_the_command_judges() -> None:
    command = [sys.executable, "-m", "poolproof", "conformance", "--", *TINY]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    bad = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MISTAKE": "rounds"},
    )
    none = subprocess.run(
        [*command[:5], "/no/such/program"], capture_output=True, text=True, check=False
    )

    assert (good.returncode, bad.returncode, none.returncode) == (0, 1, 2)
    assert f"all {len(PROMISES)} promises kept" in good.stdout
    assert "FAILS returns every kind of value: expected 0.0 back, got 0" in bad.stdout
    assert "expected a program that can be started, got /no/such/program" in none.stderr


@pytest.mark.asyncio
async def test_a_pool_can_use_it() -> None:
    transport = ProcessTransport()
    await transport.open()
    try:
        worker = await Stage(transport).worker(Command(argv=TINY))

        assert await worker.ask({"a": [1, b"\0"]}) == {"a": [1, b"\0"]}
        [raising] = worker.send({"raise": "no"})
        assert (await worker.heard.error(raising)).message == "no"
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
