"""A signal reaches exactly the process that was meant, and nobody who has its number by chance."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from poolproof.isolation.containment import send_signal
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

pytestmark = pytest.mark.unit


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as started:
        yield started
        started.kill()


def identity(process: subprocess.Popen[bytes]) -> Identity:
    found = procfs.identity(process.pid)
    assert found
    return found


def test_the_process_that_is_meant_gets_it(process: subprocess.Popen[bytes]) -> None:
    assert send_signal(identity(process), signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def test_a_namesake_is_spared(process: subprocess.Popen[bytes]) -> None:
    who = identity(process)

    assert not send_signal(Identity(who.pid, who.born - 1), signal.SIGKILL)
    assert procfs.alive(who)


def test_who_is_gone_gets_nothing(process: subprocess.Popen[bytes]) -> None:
    who = identity(process)
    process.kill()
    process.wait()

    assert not send_signal(who, signal.SIGKILL)


def test_who_goes_at_the_last_moment_gets_nothing(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(_descriptor: int, _number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr("signal.pidfd_send_signal", too_late)

    assert not send_signal(identity(process), signal.SIGTERM)
