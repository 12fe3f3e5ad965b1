"""Which rules of a state machine were taken, and how often: shown, and required to be all."""

import contextlib
import inspect
import sys
from collections import Counter
from collections.abc import Generator
from types import CodeType, FrameType
from typing import Any

from hypothesis.stateful import RULE_MARKER


@contextlib.contextmanager
def all_taken(machine: type, *, but: frozenset[str] = frozenset()) -> Generator[Counter[str]]:
    """Count the calls of the machine's rules meanwhile, and require one of each.

    Args:
        machine: its class.
        but: the names of rules that cannot apply.
    """
    names: dict[CodeType, str] = {
        inspect.unwrap(getattr(member, RULE_MARKER).function).__code__: name
        for name, member in inspect.getmembers(machine, inspect.isfunction)
        if hasattr(member, RULE_MARKER) and name not in but
    }
    taken = Counter(dict.fromkeys(names.values(), 0))

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (name := names.get(frame.f_code)) is not None:
            taken[name] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield taken
    finally:
        sys.setprofile(before)
    told = ", ".join(f"{name} {count}" for name, count in taken.most_common())
    print(f"\nrules of {machine.__name__}: {told}")  # noqa: T201 - what a campaign shows
    assert len(taken) > 1
    assert not [name for name, count in taken.items() if not count]
