"""The broken pools of the zoo: each is a sound pool with one thing wrong, and says who must see it.

One file in broken/ each: `key: value` lines, then a unified diff against a sound pool, without line
numbers, of which every hunk finds its place by its text alone. Unless it is broken from birth, such
a pool works well as long as nothing goes wrong, as such pools do.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ZOO: Final = Path(__file__).parent
MAX_CHANGED_LINES: Final = 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """One broken pool.

    Attributes:
        name: what it does wrong, in words with hyphens.
        base: the sound pool's file.
        diff: the lines of the diff against it, from the first `@@` on.
        note: what is wrong with it, in a sentence.
        invariant: the invariant, or the declared promise, under which it must be accused.
        also: other invariants that the same wrong breaks as well: an accusation under them is fair.
        faults: the faults that bring it out, as for `--faults`.
        factory: the factory in the file.
        options: further options of the command.
        broken_from_birth: it goes wrong without any fault.
    """

    name: str
    base: str
    diff: tuple[str, ...]
    note: str
    invariant: str
    faults: tuple[str, ...]
    also: tuple[str, ...] = ()
    factory: str = "make_pool"
    options: tuple[str, ...] = ()
    broken_from_birth: bool = False

    def source(self) -> str:
        """Return the broken pool's text; raise ValueError if a hunk has no place, or several."""
        text = (ZOO / self.base).read_text()
        for old, new in self._hunks():
            if text.count(old) != 1:
                found = text.count(old)
                raise ValueError(f"{self.name}: expected once in {self.base}, got {found}:\n{old}")
            text = text.replace(old, new)
        return text

    def _hunks(self) -> Iterator[tuple[str, str]]:
        for hunk in "\n".join(self.diff).split("@@\n")[1:]:
            lines = hunk.rstrip("\n").split("\n")
            old, new = (
                "\n" + "".join(f"{line[1:]}\n" for line in lines if line[:1] in kept)
                for kept in (("", " ", "-"), ("", " ", "+"))
            )
            yield old, new


def parse(file: Path) -> Ablation:
    """Return the broken pool that a file describes; raise ValueError if it describes none."""
    head, _, diff = file.read_text().partition("\n\n--- ")
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    base, name, *lines = diff.splitlines()
    if name != f"+++ {file.stem}":
        raise ValueError(f"expected +++ {file.stem}, got {name!r} in {file}")
    return Ablation(
        name=file.stem,
        base=base,
        diff=tuple(lines),
        note=facts.pop("note"),
        invariant=facts.pop("invariant"),
        faults=tuple(facts.pop("faults").split(", ")),
        also=tuple(filter(None, facts.pop("also", "").split(", "))),
        factory=facts.pop("factory", "make_pool"),
        options=tuple(facts.pop("options", "").split()),
        broken_from_birth=facts.pop("broken", "") == "from birth",
        **facts,  # a word that is not known here is a TypeError
    )


ABLATIONS: Final = tuple(parse(file) for file in sorted((ZOO / "broken").glob("*.diff")))
