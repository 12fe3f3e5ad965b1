"""Names that nobody else has: of this run, this worker process, this test, and this attempt at it."""

import hashlib
import itertools
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from poolproof.errors import UsageError

MOST_NAME_BYTES: Final = (
    63  # of an identifier in PostgreSQL, the tightest of the places that names go to
)
_DIGEST_CHARACTERS: Final = 10  # 50 bits: two of 10,000 tests meet with a chance of 5e-8
_SALT_CHARACTERS: Final = 4


def process_name(environment: Mapping[str, str]) -> str:
    """Return the name of this process as a place where tests run: run, worker, and a salt.

    The run and the worker are those of pytest-xdist where there are any. The salt keeps apart two invocations that were
    told to be the same run, and a process from its namesakes of yesterday.
    """
    run = environment.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(16)
    worker = environment.get("PYTEST_XDIST_WORKER") or "master"
    return f"{_digest(run)}-{_slug(worker, 12, '-')}-{secrets.token_hex(_SALT_CHARACTERS // 2)}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where the names of one attempt at one test live.

    Attributes:
        process: what `process_name` has returned.
        test: the test's node id.
        attempt: 1 for the first run of the test in this process, and so on.
    """

    process: str
    test: str
    attempt: int = 1
    _serial: "itertools.count[int]" = field(
        default_factory=lambda: itertools.count(1), compare=False
    )

    @property
    def folder(self) -> str:
        """What tells it from the others of the same process, as short as can be."""
        return f"{_digest(self.test)}_{self.attempt}"

    def earlier(self) -> "list[Namespace]":
        """Return the namespaces of the attempts before this one."""
        return [Namespace(self.process, self.test, attempt) for attempt in range(1, self.attempt)]

    @property
    def token(self) -> str:
        """What every name in here begins with; at most 43 characters of `a-z`, `0-9` and `_`, a letter first."""
        return f"t{self.process.replace('-', '_')}_{self.folder}"

    def name(self, label: str) -> str:
        """Return the name for `label`: the same for the same label, safe as an identifier in SQL, at most 63 bytes.

        Raises:
            UsageError: the label has no letter and no digit.
        """
        return f"{self.token}_{_fit(label, MOST_NAME_BYTES - len(self.token) - 1, '_')}"

    def unique(self, label: str) -> str:
        """Return another name at every call."""
        return self.name(f"{_checked(label, '_')}\0{next(self._serial)}")

    def tenant(self, label: str) -> str:
        """Return the name of a tenant: FILE-RUN-WORKER-SALT-TEST-ATTEMPT-tenant-LABEL, the same for the same label."""
        file = re.split(r"[/\\]", self.test.partition("::")[0])[-1].removesuffix(".py")
        place = self.token[1:].replace("_", "-")
        return f"{_slug(file, 24, '-')}-{place}-tenant-{_fit(label, 24, '-')}"


def _fit(label: str, room: int, joint: str) -> str:
    whole = _checked(label, joint)
    # A label that is cut, or spelled otherwise than it was given, could meet another one.
    if len(whole) <= room and whole == label:
        return whole
    return f"{whole[: room - 7].rstrip(joint)}{joint}{_digest(label)[:6]}"


def _checked(label: str, joint: str) -> str:
    slug = _slug(label, len(label), joint)
    if not slug:
        raise UsageError(f"expected a label with a letter or a digit in it, got {label!r}")
    return slug


def _slug(text: str, most: int, joint: str) -> str:
    return re.sub(r"[^a-z0-9]+", joint, text.lower()).strip(joint)[:most].rstrip(joint)


def _digest(text: str) -> str:
    number = int.from_bytes(
        hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    )
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[number >> shift & 31] for shift in range(0, _DIGEST_CHARACTERS * 5, 5))
