"""What a living fixture holds: a pool that a session keeps is filled by tests, and what is in it is the session's."""

import gc
import types
from collections.abc import Iterable
from typing import Final

MOST_OBJECTS: Final = 50_000

# Through these, everything is reachable from everything.
_OPAQUE: Final = (
    types.ModuleType,
    type,
    types.FrameType,
    types.CodeType,
    types.BuiltinFunctionType,
)


def reaches(value: object, things: Iterable[object]) -> bool:
    """Tell whether one of the things is held by a value, directly or by what it holds.

    It looks at no more than `MOST_OBJECTS` objects, the nearest first, and not through modules, classes or frames.
    """
    wanted = {id(thing) for thing in things}
    seen: set[int] = set()
    layer: list[object] = [value]
    while layer and wanted and len(seen) < MOST_OBJECTS:
        if any(id(one) in wanted for one in layer):
            return True
        seen.update(map(id, layer))
        layer = _next(layer, seen)
    return False


def _next(layer: list[object], seen: set[int]) -> list[object]:
    found: dict[int, object] = {}
    for one in gc.get_referents(*(_inside(each) for each in layer)):
        if id(one) not in seen and not isinstance(one, _OPAQUE) and gc.is_tracked(one):
            found[id(one)] = one
    return list(found.values())


def _inside(one: object) -> object:
    """Return what of a function may hold state: its closure, not the module that it is from."""
    if isinstance(one, types.FunctionType):
        return (one.__closure__, one.__dict__, one.__defaults__)
    return one
