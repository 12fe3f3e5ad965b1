"""The worker's end of a link, without a process: when it leaves."""

import socket

import pytest

from poolproof.transport import describe, worker

pytestmark = pytest.mark.unit


def test_a_controller_that_is_gone_ends_it_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel resets a connection of which one end is closed with something unread in it."""

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(worker, "leave", leave)
    here, there = socket.socketpair()
    with there:
        there.sendall(b"an answer that nobody has read")
        here.close()
        served = worker.Blocking(there, describe.raised(ValueError("no worker")), memoryview(b""))
        with pytest.raises(SystemExit) as ended:
            served.serve(b"")

    assert ended.value.code == 0
