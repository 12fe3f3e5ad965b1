"""What a target may declare, where it is found, and what is said of what makes no sense."""

from collections import UserDict
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from poolproof import checkers
from poolproof.adapters.base import TargetProblem
from poolproof.agent.declarations import PROMISES, OwnJob, declared
from poolproof.agent.naming import Factory

pytestmark = pytest.mark.unit


def _factory(function: Any = abs, **in_module: Any) -> Factory:
    module = ModuleType("pools")
    vars(module).update(in_module)
    return Factory(name="pools:make", function=function, module=module)


def _problem(**in_module: Any) -> str:
    with pytest.raises(TargetProblem) as raised:
        declared(_factory(**in_module))
    return str(raised.value)


def test_a_silent_target_declares_nothing() -> None:
    found = declared(_factory(), object())

    assert (found.jobs, found.promises, found.contract) == ((), {}, {})


def test_a_target_without_a_module_declares_nothing() -> None:
    assert declared(Factory(name="x", function=abs)).jobs == ()


def test_jobs_have_arguments_or_one_payload() -> None:
    found = declared(_factory(jobs=[((1, 2), 3), [{"op": "echo"}, "ok"], (None, 0)]))

    assert found.jobs == (
        OwnJob(arguments=(1, 2), expected=3),
        OwnJob(arguments=({"op": "echo"},), expected="ok"),
        OwnJob(arguments=(None,), expected=0),
    )


def test_the_pool_stands_over_the_factory_and_the_factory_over_its_module() -> None:
    def make() -> None: ...

    make.promises = {"retries": 2, "order": "fifo"}  # type: ignore[attr-defined]
    pool = SimpleNamespace(promises=UserDict({"order": "fifo", "recovery": 1.5}))

    found = declared(_factory(make, promises={"retries": 1, "at-most-once": True}), pool)

    assert found.promises == {
        "retries": 2,
        "order": "fifo",
        "recovery": 1.5,
        "at-most-once": True,
    }


def test_a_contract_is_found() -> None:
    quote = "a broken executor stays broken"

    assert declared(_factory(contract={"no-recovery": quote})).contract == {"no-recovery": quote}


def test_other_uses_of_the_words_are_left_alone() -> None:
    class Pool:
        @property
        def promises(self) -> Any:
            raise RuntimeError

        def contract(self) -> None: ...

    found = declared(_factory(Pool, jobs=ModuleType("jobs"), contract=lambda: None), Pool())

    assert (found.jobs, found.promises, found.contract) == ((), {}, {})


@pytest.mark.parametrize(
    ("jobs", "got"),
    [
        ({"a": 1}, "got dict"),
        ("text", "got str"),
        (7, "got int"),
        ([], "got none; leave it out if any function will do"),
    ],
)
def test_jobs_that_are_no_list_are_refused(jobs: Any, got: str) -> None:
    assert _problem(jobs=jobs) == (
        f"expected jobs of pools:make to be a list of (arguments, expected) pairs, {got}"
    )


@pytest.mark.parametrize("pair", [7, "ab", (1,), (1, 2, 3)])
def test_a_job_that_is_no_pair_is_refused_by_its_number(pair: Any) -> None:
    assert _problem(jobs=[((1,), 1), pair]) == (
        f"expected jobs[1] to be a pair (arguments, expected), got {pair!r} in pools:make"
    )


def test_a_job_without_any_argument_is_refused() -> None:
    assert _problem(jobs=[((), 1)]) == "expected jobs[0] to have an argument, got () in pools:make"


@pytest.mark.parametrize("name", ["promises", "contract"])
def test_declarations_that_are_no_mapping_are_refused(name: str) -> None:
    assert (
        f"expected {name} of pools:make to be a mapping, got list; write for instance {name} = {{"
        in (_problem(**{name: ["at-most-once"]}))
    )


def test_an_unknown_promise_gets_the_known_ones() -> None:
    assert _problem(promises={"at-most-one": True}) == (
        f"expected promises among {', '.join(PROMISES)}, "
        "got 'at-most-one' in pools:make (did you mean 'at-most-once'?)"
    )


def test_a_target_can_declare_whatever_can_be_promised() -> None:
    assert {*PROMISES, "contract"} == set(checkers.PROMISES)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("at-most-once", 1, "True or False"),
        ("retries", -1, "a number from 0 on"),
        ("retries", True, "a number from 0 on"),
        ("retries", 1.5, "a number from 0 on"),
        ("order", "lifo", "'fifo'"),
        ("recovery", 0, "seconds above 0"),
        ("recovery", "1", "seconds above 0"),
    ],
)
def test_a_promise_of_a_wrong_value_is_refused(name: str, value: Any, wanted: str) -> None:
    assert _problem(promises={name: value}) == (
        f"expected the promise {name!r} to be {wanted}, got {value!r} in pools:make"
    )


def test_a_contract_on_an_unknown_invariant_gets_the_known_ones() -> None:
    text = _problem(contract={"no-recovry": "it says so"})

    assert text.startswith("expected a contract on one of unresolved-job, wrong-result, ")
    assert text.endswith("got 'no-recovry' in pools:make (did you mean 'no-recovery'?)")


@pytest.mark.parametrize("quote", [None, True, "  "])
def test_a_contract_without_a_quote_is_refused(quote: Any) -> None:
    assert _problem(contract={"leak": quote}) == (
        "expected the contract on 'leak' to quote what the pool documents, "
        f"got {quote!r} in pools:make"
    )
