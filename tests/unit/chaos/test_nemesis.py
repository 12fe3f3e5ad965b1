"""The nemesis: what it journals of a fault, in which order, and what it takes for a witness."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest

from poolproof.chaos import nemesis
from poolproof.chaos.nemesis import Nemesis
from poolproof.errors import UsageError
from poolproof.faults import FAULTS
from poolproof.faults.base import Fault
from poolproof.plan import Plan
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from tests.unit.checkers.histories import plan

if TYPE_CHECKING:
    from poolproof.chaos.rig import Rig
    from poolproof.history import Event

pytestmark = pytest.mark.unit


class Stage:
    """In place of a `Rig`, and of its trial: notes what is journalled."""

    def __init__(self, plan_: Plan) -> None:
        self.plan = plan_
        self.trial = self
        self.told: list[tuple[str, Any]] = []
        self.acts: list[str] = []
        self.events: list[Event] = []

    def write(self, kind: str, *, data: dict[str, Any]) -> None:
        self.told.append((kind, data))

    def absorb(self) -> bool:
        return False

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


Answer = Callable[[], str | None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nemesis, "RECEIPT_SECONDS", 0.02)


def fault(stage: Stage, receipt: Answer, healed: Answer, *, slowly: bool = False) -> Fault:
    async def later() -> None:
        await asyncio.sleep(0)
        stage.acts.append("inject, later")

    def inject(*_: Any) -> Any:
        stage.acts.append("inject")
        return later() if slowly else None

    def heal(*_: Any) -> None:
        stage.acts.append("heal")

    return Fault(
        kind="test-only",
        does="nothing",
        moment="idle",
        victims=lambda *_: [Identity(7, 70)],
        inject=inject,
        receipt=lambda *_: receipt(),
        heal=heal,
        healed=lambda *_: healed(),
    )


def vanished() -> str | None:
    raise ProcessLookupError


def played(
    monkeypatch: pytest.MonkeyPatch,
    receipt: Answer = lambda: "seen",
    healed: Answer = lambda: "undone",
    *,
    slowly: bool = False,
    null: bool = False,
) -> Stage:
    """Inject and heal a fault with these witnesses."""
    stage = Stage(plan("test-only", null=null))
    monkeypatch.setitem(FAULTS, "test-only", fault(stage, receipt, healed, slowly=slowly))

    async def scenario() -> None:
        one = Nemesis(cast("Rig", stage))
        await one.inject()
        await one.heal()

    asyncio.run(scenario())
    return stage


def test_the_fault_is_named_before_it_is_done_and_everything_journalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(procfs, "handled_signals", lambda _pid: 5)
    stage = played(monkeypatch)

    assert stage.acts == ["inject", "heal"]
    assert stage.told == [
        (
            "inject",
            {"fault": 0, "kind": "test-only", "victims": [{"pid": 7, "born": 70, "handles": 5}]},
        ),
        ("receipt", {"fault": 0, "evidence": "seen"}),
        ("heal", {"fault": 0}),
        ("healed", {"fault": 0, "evidence": "undone"}),
    ]


def test_what_takes_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert played(monkeypatch, slowly=True).acts == ["inject", "inject, later", "heal"]


def test_a_receipt_is_asked_for_until_it_comes_and_written_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([None, None, "seen"])

    assert played(monkeypatch, receipt=lambda: next(answers)).kinds.count("receipt") == 1


def test_a_receipt_that_never_comes_is_waited_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert played(monkeypatch, receipt=lambda: None).kinds == ["inject", "heal", "healed"]


def looked_late(monkeypatch: pytest.MonkeyPatch, moot: str | None, *, null: bool = False) -> int:
    """Return how often a receipt was asked for that came at the third time, when all was over."""
    stage = Stage(plan("test-only", null=null))
    answers = iter([None, None])
    asked: list[None] = []

    def receipt() -> str | None:
        asked.append(None)
        return next(answers, "seen")

    made = dataclasses.replace(fault(stage, receipt, lambda: None), moot=lambda _: moot)
    monkeypatch.setitem(FAULTS, "test-only", made)

    asyncio.run(Nemesis(cast("Rig", stage)).receive_late())
    return len(asked)


def test_a_receipt_may_come_a_little_after_all_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_late(monkeypatch, moot=None) == 3


def test_nobody_waits_for_a_receipt_that_cannot_come(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_late(monkeypatch, moot="no process is there") == 1
    assert looked_late(monkeypatch, moot=None, null=True) == 1


def test_a_heal_that_cannot_be_seen_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert played(monkeypatch, healed=lambda: None).kinds == ["inject", "receipt", "heal"]


def test_a_vanished_process_needs_no_heal_but_is_no_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = played(monkeypatch, receipt=vanished, healed=vanished)

    assert stage.kinds == ["inject", "heal", "healed"]
    assert stage.told[-1][1]["evidence"] == "its process is gone"


def test_without_injection_everything_but_that_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = played(monkeypatch, receipt=lambda: None, null=True)

    assert stage.acts == ["heal"]
    assert stage.kinds == ["inject", "heal", "healed"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^expected a kind of fault, got 'no-such-fault'"):
        Nemesis(cast("Rig", Stage(plan("no-such-fault"))))
