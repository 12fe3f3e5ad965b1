"""Which rules of a state machine were taken, and how often: shown, and required to be all."""

import contextlib
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from hypothesis.stateful import RULE_MARKER


@contextlib.contextmanager
def all_taken(machine: type, *, but: frozenset[str] = frozenset()) -> Generator[Counter[str]]:
    """Count the calls of the machine's rules meanwhile, and require one of each.

    Args:
        machine: its class.
        but: the names of rules that cannot apply.
    """
    rules = {
        name: getattr(member, RULE_MARKER)
        for name, member in inspect.getmembers(machine, inspect.isfunction)
        if hasattr(member, RULE_MARKER) and name not in but
    }
    taken = Counter(dict.fromkeys(rules, 0))
    functions = {name: rule.function for name, rule in rules.items()}
    for name, rule in rules.items():
        rule.function = _counted(functions[name], name, taken)
    try:
        yield taken
    finally:
        for name, rule in rules.items():
            rule.function = functions[name]
    told = ", ".join(f"{name} {count}" for name, count in taken.most_common())
    print(f"\nrules of {machine.__name__}: {told}")  # noqa: T201 - what a campaign shows
    assert len(taken) > 1
    assert not [name for name, count in taken.items() if not count]


def _counted(function: Callable[..., Any], name: str, taken: Counter[str]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        taken[name] += 1
        return function(*args, **kwargs)

    return call
