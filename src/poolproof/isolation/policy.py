"""What is done about each kind of leak, and which ones are known and borne until a date."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from poolproof.isolation.resources.base import shown

Mode = Literal["report", "fail", "off"]
Action = Literal["fail", "restore", "warn", "ignore"]
MODES: Final[tuple[str, ...]] = get_args(Mode)
ACTIONS: Final[tuple[str, ...]] = get_args(Action)

# What else there is fails. Libraries often register an exit callback at their first use, for good.
# Classes are many, and to look at each costs milliseconds.
_DEFAULTS: Final[Mapping[str, Action]] = {"atexit": "warn", "class-attribute": "ignore"}
_PIN_KEYS: Final = frozenset({"test", "resource", "owner", "reason", "expires"})


class PolicyError(Exception):
    """What was configured cannot be meant so; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A leak that is known: where, who answers for it, why it is borne, and until when."""

    test: str
    resource: str
    owner: str
    reason: str
    expires: dt.date

    def __str__(self) -> str:
        return f"pinned by {self.owner} until {self.expires}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The mode, what is done about each kind, and the pins.

    - `fail`: reported, undone where that is possible, and the test's teardown fails
    - `restore`: reported and undone
    - `warn`: reported
    - `ignore`: not even looked at

    In the mode `report`, nobody fails and nothing is undone but where the policy says `restore`.
    """

    mode: Mode
    actions: Mapping[str, Action]
    pins: tuple[Pin, ...] = ()

    def action(self, resource: str) -> Action:
        """Return what is done about a leak of this kind."""
        chosen: Action = self.actions.get(resource) or _DEFAULTS.get(resource, "fail")
        return "warn" if chosen == "fail" and self.mode == "report" else chosen

    def pins_of(self, test: str) -> list[Pin]:
        """Return the pins of one test or fixture."""
        return [pin for pin in self.pins if pin.test == test]


def parse_actions(lines: Iterable[str], known: Iterable[str]) -> dict[str, Action]:
    """Return the actions of lines such as `thread: warn`.

    Raises:
        PolicyError: a line names an unknown kind or action.
    """
    slugs = sorted(known)
    found: dict[str, Action] = {}
    for line in filter(None, map(str.strip, lines)):
        slug, _, action = (part.strip() for part in line.partition(":"))
        if slug not in slugs or action not in ACTIONS:
            raise PolicyError(
                f"poolproof_policy: expected `kind: action` with an action among"
                f" {', '.join(ACTIONS)} and a kind among {', '.join(slugs)}, got {line!r}"
            )
        found[slug] = action  # type: ignore[assignment]
    return found


def read_pins(path: Path) -> tuple[Pin, ...]:
    """Return the pins of a TOML file, none if there is no such file.

    Raises:
        PolicyError: it is not TOML, or a pin lacks one of its five keys.
    """
    if not path.exists():
        return ()
    import tomllib  # noqa: PLC0415 (most suites have no pins)

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyError(f"{path}: expected TOML with tables [[pin]], got {error}") from error
    return tuple(_pin(path, entry) for entry in table.get("pin", ()))


def _table(found: Any) -> dict[str, Any]:
    return found if hasattr(found, "keys") else {}


def _pin(path: Path, found: Any) -> Pin:
    entry = _table(found)
    if entry.keys() != _PIN_KEYS:
        got = ", ".join(sorted(entry)) or shown(found)
        raise PolicyError(
            f"{path}: expected a pin to have {', '.join(sorted(_PIN_KEYS))} and nothing else, got {got}"
        )
    if type(entry["expires"]) is not dt.date:
        raise PolicyError(
            f"{path}: expected `expires` to be a date such as 2030-12-31, got {entry['expires']!r}"
        )
    if empty := [key for key in sorted(_PIN_KEYS - {"expires"}) if not str(entry[key]).strip()]:
        raise PolicyError(f"{path}: expected text for {', '.join(empty)} of a pin, got none")
    return Pin(**entry)
