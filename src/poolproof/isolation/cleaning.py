"""Clean-up in steps: each is run even if an earlier one raised, and each thing proves that it was released."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from poolproof.errors import PoolproofError
from poolproof.isolation.tracking import Tracked

CLEARED: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """One thing that was to be released.

    Attributes:
        what: what it is.
        verified: whether it has proved to be released.
        note: what there is to say of it; empty for what the test handed over and is gone.
        leak: the kind of leak that it was, if the test had not handed it over.
    """

    what: str
    verified: bool
    note: str = CLEARED
    leak: str = ""


Step = tuple[str, Callable[[], Iterable[Released]]]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What came of a clean-up: what was released, and (step, error) for each step that raised."""

    released: tuple[Released, ...] = ()
    errors: tuple[tuple[str, BaseException], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no step raised, and everything has proved to be released."""
        return not self.errors and all(one.verified for one in self.released)

    def __add__(self, other: "Cleaned") -> "Cleaned":
        return Cleaned(self.released + other.released, self.errors + other.errors)

    def lines(self) -> Iterator[str]:
        """Yield what a person should know of it; nothing where all went as it should."""
        yield from (f"{one.what}: {one.note}" for one in self.released if one.note)
        for one in self.released:
            if not one.verified and not one.note:
                yield f"{one.what}: was released, but has not proved it"
        yield from (f"{step}: raised {error!r}" for step, error in self.errors)


class CleanupError(PoolproofError):
    """A clean-up is not complete: something is still there, or a step raised. All other steps were carried out."""

    def __init__(self, cleaned: Cleaned) -> None:
        bad = [
            f"{one.what}: {one.note or 'not released'}"
            for one in cleaned.released
            if not one.verified
        ]
        bad += [f"{step} raised {error!r}" for step, error in cleaned.errors]
        super().__init__(
            f"expected everything of this sandbox to be released, got {'; '.join(bad)}"
        )
        self.cleaned = cleaned


def run(steps: Sequence[Step]) -> Cleaned:
    """Run every step, in order, whatever comes of those before it.

    Raises:
        BaseException: the first error that is no Exception (Ctrl-C, a test's time-out), after all steps.
    """
    released: list[Released] = []
    errors: list[tuple[str, BaseException]] = []
    for name, step in steps:
        try:
            for one in step():
                released.append(one)  # noqa: PERF402 - what came before an error counts
        except BaseException as error:  # noqa: BLE001 - raised below, or kept
            errors.append((name, error))
    raise_foreign(errors)
    return Cleaned(tuple(released), tuple(errors))


def raise_foreign(errors: Iterable[tuple[str, BaseException]]) -> None:
    """Raise the first of the errors that is no Exception."""
    for _, error in errors:
        if not isinstance(error, Exception):
            raise error


def release_all(held: list[Tracked]) -> Iterator[Released]:
    """Release in reverse order; what has proved it leaves the list, so that doing it twice is harmless.

    Raises:
        ExceptionGroup: some raised; all were tried.
    """
    errors: list[Exception] = []
    for tracked in reversed(held[:]):
        try:
            tracked.release()
            verified = tracked.released()
        except Exception as error:  # noqa: BLE001 - the others are tried, too
            errors.append(error)
            continue
        if verified:
            held.remove(tracked)
        yield Released(what=tracked.what, verified=verified)
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(held)} could not be released", errors)
