"""Bad specifications are refused as a whole, with every reason."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from poolproof.supervision import Backoff, ChildSpec, SpecError, SupervisorSpec, start_supervisor

pytestmark = pytest.mark.unit


async def worker() -> None:
    await asyncio.Event().wait()


def problems(**fields: Any) -> list[str]:
    return [str(problem) for problem in SupervisorSpec(**fields).problems("root")]


def test_all_problems_are_reported_at_once(simulated: Callable[..., Any]) -> None:
    below = SupervisorSpec(strategy="all_for_one", children=[ChildSpec(id="x", start=None)])  # type: ignore[arg-type]
    spec = SupervisorSpec(
        max_restarts=-1,
        children=[
            ChildSpec(id="a", start=worker, restart="always"),  # type: ignore[arg-type]
            ChildSpec(id="a", start=worker, shutdown=-1),
            ChildSpec(id="b", start=below, type="supervisor"),
        ],
    )

    with pytest.raises(SpecError) as refused:
        simulated(start_supervisor(spec))

    assert len(refused.value.problems) == 6
    assert str(refused.value).startswith("6 problem(s) in the specification:\n")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_restarts": True}, "root.max_restarts: expected an int >= 0, got True"),
        ({"max_seconds": 0}, "root.max_seconds: expected seconds > 0, got 0"),
        ({"max_seconds": float("nan")}, "root.max_seconds: expected seconds > 0, got nan"),
        ({"clock": "coarse"}, "root.clock: expected one of fine, whole_seconds, got 'coarse'"),
        (
            {"auto_shutdown": "always"},
            "root.auto_shutdown: expected one of never, any_significant, all_significant, got "
            + repr("always"),
        ),
        (
            {"backoff": Backoff(initial=-1, maximum=1)},
            "root.backoff.initial: expected a number >= 0, got -1",
        ),
        ({"children": ["a"]}, "root.children[0]: expected a ChildSpec, got 'a'"),
        (
            {"children": [ChildSpec(id=[], start=worker)]},  # type: ignore[arg-type]
            "root.children[0].id: expected something hashable, got []",
        ),
    ],
)
def test_problem_says_where_and_what(fields: dict[str, Any], expected: str) -> None:
    assert problems(**fields) == [expected]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"shutdown": "soon"},
            "shutdown: expected seconds >= 0, 'brutal_kill', 'infinity' or None, got 'soon'",
        ),
        ({"type": "boss"}, "type: expected 'worker' or 'supervisor', got 'boss'"),
        ({"significant": True}, "significant: expected False for a permanent child, got True"),
        ({"restart": "transient", "significant": 1}, "significant: expected True or False, got 1"),
        (
            {"start": 5},
            "start: expected a coroutine function, a SupervisorSpec or another starter, got 5",
        ),
        (
            {"start": SupervisorSpec()},
            "type: expected 'supervisor', as its start says, got 'worker'",
        ),
        ({"requires": ("b",)}, "requires: expected siblings (none), got 'b'"),
    ],
)
def test_child_problem_says_where_and_what(fields: dict[str, Any], expected: str) -> None:
    found = problems(children=[ChildSpec(id="a", **{"start": worker, **fields})])

    assert f"root.children['a'].{expected}" in found


def test_sound_specification_has_no_problem() -> None:
    below = SupervisorSpec(children=[ChildSpec(id="x", start=worker, shutdown="brutal_kill")])

    assert (
        problems(
            children=[
                ChildSpec(id="b", start=below, type="supervisor"),
                ChildSpec(id=1, start=worker),
            ]
        )
        == []
    )


def test_patience_depends_on_the_type() -> None:
    """Five seconds for a worker, for ever for a supervisor, none with brutal_kill."""
    specs = [
        ChildSpec(id="a", start=worker),
        ChildSpec(id="b", start=SupervisorSpec(), type="supervisor"),
        ChildSpec(id="c", start=worker, shutdown="brutal_kill"),
        ChildSpec(id="d", start=worker, shutdown=2),
    ]

    assert [spec.patience for spec in specs] == [5.0, None, 0.0, 2.0]
