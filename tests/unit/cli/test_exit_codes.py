"""Which exit code each end of a command has: never 1, that of a verdict, for what is no verdict."""

import argparse
import asyncio
import signal
import sys

import pytest

from poolproof import cli
from poolproof.cli import Terminated, reap, session
from poolproof.errors import PoolproofError, TargetError, UsageError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_handler_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def code_of(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code of a command that ends in this error."""

    def run(_arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(reap, "run", run)
    return cli.main(["reap"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("expected this, got that"), 2),
        (TargetError("expected this, got that"), 2),
        (PoolproofError("lost"), 4),
        (ZeroDivisionError("of ours"), 4),
        (asyncio.CancelledError(), 4),
        (ExceptionGroup("tasks", [TargetError("one"), TargetError("two")]), 2),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [UsageError("one")])]), 2),
        (ExceptionGroup("tasks", [TargetError("one"), PoolproofError("two")]), 4),
        (ExceptionGroup("tasks", [TargetError("one"), ZeroDivisionError("of ours")]), 4),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
    ids=repr,
)
def test_each_end_has_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(error, monkeypatch) == code


def test_what_is_refused_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code_of(ExceptionGroup("tasks", [TargetError("expected a pool, got a pond")]), monkeypatch)

    assert capsys.readouterr().err == "poolproof: expected a pool, got a pond\n"


def test_an_error_of_poolproof_itself_is_shown_and_named_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code_of(ZeroDivisionError("of ours"), monkeypatch)

    said = capsys.readouterr().err
    assert "ZeroDivisionError: of ours" in said
    assert said.endswith("this is an error of poolproof itself, not a verdict on the target\n")


def test_a_parser_that_cannot_be_made_is_an_error_of_poolproof_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "poolproof.cli.check", None)

    assert cli.main(["check", "some:pool"]) == 4


async def _interrupted(cleared: list[str]) -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.sleep(0)
        cleared.append("all")


def test_a_sigterm_lets_what_runs_clear_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = signal.getsignal(signal.SIGTERM)
    cleared: list[str] = []

    with pytest.raises(Terminated):
        session.run(_interrupted(cleared))

    assert cleared == ["all"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cancellation_without_a_signal_is_no_termination() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        session.run(cancelled())
