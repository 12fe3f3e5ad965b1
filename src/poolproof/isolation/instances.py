"""All objects of a class, found without harm to what other threads are building.

`gc.get_objects` also returns tuples that are not finished. While anybody holds one, the thread that builds it fails
with a SystemError from tupleobject.c, and who looks into one may crash (python/cpython#39117, #101855). So the list of
all objects, and all that was made from it, must be gone before another thread can run: it is made, sifted and dropped
within one call into C, in which no bytecode of ours gives the interpreter's lock away.
"""

import gc
from collections.abc import Iterator
from itertools import chain, compress, repeat, tee
from typing import Any, Final, TypeVar

T = TypeVar("T")

_OLDEST: Final = 2
"""The one generation that is looked at, when all but the youngest have moved there.

In the youngest are the iterators below, and what holds itself is not dropped. And each call has its audit event, so its
hook, which may be bytecode: there must be nothing yet to hold.
"""


def instances(cls: type[T]) -> list[T]:
    """Return the living objects whose class is `cls` or derived from it, except those that the collector ignores.

    The collector rests meanwhile: a finalizer would be bytecode.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        gc.collect(_OLDEST - 1)
        # Nothing here may have a name: it would live on when the call has ended.
        return list(_sifted(cls, *tee(chain.from_iterable(map(gc.get_objects, (_OLDEST,))))))
    finally:
        if was_on:
            gc.enable()


def _sifted(cls: type[T], things: Iterator[Any], same: Iterator[Any]) -> Iterator[T]:
    return compress(things, map(type.__subclasscheck__, repeat(cls), map(type, same)))
