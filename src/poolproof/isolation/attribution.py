"""Who made what: looks at the state, and the change between two of them charged to a test or a fixture.

What appears while a fixture of a wider scope is set up belongs to that fixture, and is asked for when the fixture
ends. What is left of the difference between a test's beginning and its end is the test's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from poolproof.isolation.blame import BEFORE_ALL, Notes
from poolproof.isolation.resources.base import ABSENT, Change, Finding, Resource, State, changes

Picture = list[State]


@dataclass(frozen=True, slots=True)
class Entry:
    """A change, and the place of its resource in the list of them."""

    place: int
    change: Change


@dataclass(slots=True)
class Turn:
    """The time in which one owner makes things: a test, or a fixture's set-up or end within it."""

    owner: str
    number: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Charge:
    """Something that should not be there, and the change by which it came."""

    entry: Entry
    finding: Finding


@dataclass(slots=True)
class _Estate:
    """What a living fixture has made, and what of it must be gone when it ends."""

    number: int
    made: list[Entry]
    charges: list[Charge]
    ending: Turn | None = None


class Ledger:
    """The turns that are open, innermost last, and what each living fixture has made."""

    def __init__(self, resources: Sequence[Resource], notes: Notes) -> None:
        self.resources = resources
        self.notes = notes
        self._turns: list[Turn] = []
        self._estates: dict[Any, _Estate] = {}
        self._numbers = BEFORE_ALL
        self._last: Picture = []

    def look(self) -> Picture:
        """Return the state of every resource."""
        self._last = [resource.look() for resource in self.resources]
        return self._last.copy()

    def _look_again(self) -> Picture:
        """Return the same at a test's beginning: what no plugin touches between two tests is as it was."""
        last = self._last
        self._last = [
            last[place] if last and resource.steady else resource.look()
            for place, resource in enumerate(self.resources)
        ]
        return self._last.copy()

    def begin(self, test: str) -> None:
        """Begin the turn of a test; whatever was open before it is over."""
        self._turns.clear()
        self.notes.forget()
        self._open(test, self._look_again())

    @property
    def running(self) -> bool:
        """Whether a test has begun and not ended."""
        return bool(self._turns)

    def _open(self, owner: str, picture: Picture) -> Turn:
        self._numbers += 1
        turn = Turn(owner, self._numbers, picture)
        self._turns.append(turn)
        self.notes.owner = turn.number
        return turn

    def _close(self, turn: Turn) -> list[Entry]:
        """End a turn; what has changed in it is nobody else's."""
        made = list(between(turn.picture, self.look()))
        self._turns.remove(turn)
        self.notes.owner = self._turns[-1].number if self._turns else BEFORE_ALL
        for other in self._turns:
            settle(other.picture, made)
        return made

    def suspects(self) -> list[Charge]:
        """Return what the test that runs would leave if it ended now."""
        return self._judge(between(self._turns[0].picture, self.look()))

    def suspects_of(self, resource: Resource) -> list[Charge]:
        """Return the same for one resource."""
        return self.charges(resource, self._turns[0].picture[self.resources.index(resource)])

    def charges(self, resource: Resource, before: State) -> list[Charge]:
        """Return what one resource has that it did not have at another look."""
        place = self.resources.index(resource)
        return self._judge(Entry(place, change) for change in changes(before, resource.look()))

    def end(self) -> None:
        """End the turn of the test."""
        self._turns.clear()

    def _judge(self, entries: Iterable[Entry]) -> list[Charge]:
        judged = ((e, self.resources[e.place].judge(e.change, self.notes)) for e in entries)
        return [Charge(entry, finding) for entry, finding in judged if finding is not None]

    def set_up(self, owner: str) -> Turn:
        """Begin the set-up of a fixture of a wider scope than the test's."""
        return self._open(owner, self.look())

    def was_set_up(self, fixture: Any, turn: Turn) -> None:
        """End the set-up: what was made in it is the fixture's, for as long as that lives."""
        made = list(between(turn.picture, self.look()))
        charges = self._judge(made)
        self._close(turn)
        self._estates[fixture] = _Estate(turn.number, made, charges)
        self.notes.living.add(turn.number)

    def ending(self, fixture: Any, owner: str) -> None:
        """Begin the end of a fixture."""
        if self.running and (estate := self._estates.get(fixture)) is not None:
            estate.ending = self._open(owner, self.look())

    def ended(self, fixture: Any) -> list[Charge]:
        """End a fixture; return what it has left, of its set-up and of its end.

        Every open turn sees the rest as it was before the fixture.
        """
        estate = self._estates.pop(fixture, None)
        if estate is None:
            return []
        self.notes.living.discard(estate.number)
        late: list[Charge] = []
        if estate.ending in self._turns:
            known = {(entry.place, entry.change.key) for entry in estate.made}
            fresh = between(estate.ending.picture, self.look())
            late = self._judge(e for e in fresh if (e.place, e.change.key) not in known)
            self._close(estate.ending)
        now = self.look()
        for turn in self._turns:
            settle(turn.picture, [_reverse(e) for e in estate.made if not _still_there(e, now)])
        return [*(c for c in estate.charges if _still_there(c.entry, now)), *late]

    def undo(self, charge: Charge) -> None:
        """Put back what a charge is about, or end it."""
        self.resources[charge.entry.place].undo(charge.entry.change)
        self._last = []
        for turn in self._turns:
            settle(turn.picture, [_reverse(charge.entry)])

    def fades(self, charge: Charge) -> bool:
        """Tell whether it may be gone in a moment."""
        return self.resources[charge.entry.place].fades


def between(before: Picture, after: Picture) -> Iterator[Entry]:
    """Yield what is different between two pictures."""
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old is not new and old != new:
            yield from (Entry(place, change) for change in changes(old, new))


def settle(picture: Picture, entries: Sequence[Entry]) -> None:
    """Take changes for granted: put what is new into a picture. States are shared, so a changed one is another."""
    fresh: set[int] = set()
    for entry in entries:
        if entry.place not in fresh:
            fresh.add(entry.place)
            picture[entry.place] = dict(picture[entry.place])
        state: Any = picture[entry.place]
        if entry.change.new is ABSENT:
            state.pop(entry.change.key, None)
        else:
            state[entry.change.key] = entry.change.new


def _still_there(entry: Entry, now: Picture) -> bool:
    return now[entry.place].get(entry.change.key, ABSENT) == entry.change.new


def _reverse(entry: Entry) -> Entry:
    key, old, new = entry.change
    return Entry(entry.place, Change(key, new, old))
