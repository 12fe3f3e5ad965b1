"""Where things were created, and in whose turn: the audit events of the interpreter, noted while a guard is on.

Nothing is patched. An audit hook cannot be taken away again, so there is one for the whole process, and it does
nothing while no notes are kept.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from poolproof.agent import auditing

MOST_FRAMES: Final = 64
MOST_PATHS: Final = 4096
MOST_CHILDREN: Final = 256
BEFORE_ALL: Final = 0


class Site(NamedTuple):
    """One place in the code, and whose turn it was there."""

    file: str
    line: int
    function: str
    owner: int
    foreign: bool

    def __str__(self) -> str:
        return f"{shortened(self.file)}:{self.line} in {self.function}"


class Notes:
    """What was created since they were begun; `owner` is the number of whoever's turn it is.

    What a thread creates is in the turn in which the thread was started: a server that a session's fixture
    started answers for its handlers, whichever test is running. Threads write while these are read, so whoever
    goes through them goes through a copy.
    """

    def __init__(self) -> None:
        self.owner = BEFORE_ALL
        self.living: set[int] = set()
        self.threads: WeakKeyDictionary[threading.Thread, Site] = WeakKeyDictionary()
        self.sockets: WeakKeyDictionary[Any, Site] = WeakKeyDictionary()
        self.opened: dict[str, Site] = {}
        self.made: dict[str, Site] = {}
        self.segments: dict[str, Site] = {}
        self.variables: dict[str, tuple[str | None, Site]] = {}
        self.settings: dict[str, Site] = {}
        self.children: deque[tuple[tuple[str, ...], Site]] = deque(maxlen=MOST_CHILDREN)
        self.imported: set[str] = set()
        self.signalled: Callable[[int], None] = lambda _pid: None

    def forget(self) -> None:
        """Drop what only matters within one turn, but for the turns of living fixtures."""
        for notes in (self.opened, self.made, self.segments):
            for name, site in notes.copy().items():
                if site.owner not in self.living:
                    notes.pop(name, None)
        for rest in (self.variables, self.children, self.settings, self.imported):
            rest.clear()

    def mine(self, site: Site | None) -> bool:
        """Tell whether this was created in the present turn, by no import and no hook; what was not seen is."""
        return site is None or (site.owner == self.owner and not site.foreign)

    def mine_by(self, ident: int | None) -> bool:
        """Tell whether what a thread does is done in the present turn; what no thread does is."""
        return ident is None or self._turn_of(ident) == self.owner

    def turn(self) -> int:
        """Return whose turn the running thread belongs to."""
        return self._turn_of(threading.get_ident())

    def _turn_of(self, ident: int) -> int:
        if ident == _MAIN_IDENT:
            return self.owner
        thread = _threads.get(ident)
        site = None if thread is None else self.threads.get(thread)
        return BEFORE_ALL if site is None else site.owner

    def others_at_work(self) -> bool:
        """Tell whether a thread of a living fixture runs: what nobody was seen to make may be its own."""
        return any(self._turn_of(ident) in self.living for ident in list(_threads))


_MAIN_IDENT: Final = threading.main_thread().ident
_threads: Final[dict[int, threading.Thread]] = vars(threading)["_active"]
_keepers: list[Notes] = []
_hooked = False


def keep(notes: Notes) -> None:
    """Write these notes from here on."""
    global _hooked  # noqa: PLW0603 (a hook is for ever, so there is one)
    _keepers.append(notes)
    if not _hooked:
        auditing.add_hook(_hook)
        _hooked = True
    _announce_threads()


def drop(notes: Notes) -> None:
    """Write these notes no longer."""
    _keepers.remove(notes)
    if not _keepers and sys.version_info < (3, 12):
        _silence_threads()


_start_new_thread: Any = getattr(threading, "_start_new_thread", None)
_announcing = False


def _announce_threads() -> None:
    """Raise the event that Python 3.11 does not have yet; whoever wraps the same function is kept."""
    global _announcing, _start_new_thread
    if sys.version_info < (3, 12) and not _announcing:
        _announcing, _start_new_thread = True, threading._start_new_thread  # type: ignore[attr-defined]  # noqa: SLF001
        threading._start_new_thread = _announced  # type: ignore[attr-defined]  # noqa: SLF001


def _silence_threads() -> None:
    """Put the function back, unless somebody has wrapped it since and would be taken out with us."""
    global _announcing  # noqa: PLW0603
    if vars(threading)["_start_new_thread"] is _announced:
        _announcing = False
        threading._start_new_thread = _start_new_thread  # type: ignore[attr-defined]  # noqa: SLF001


def _announced(function: Any, args: tuple[Any, ...]) -> Any:
    sys.audit("_thread.start_new_thread", function, args, None)
    return _start_new_thread(function, args)


def shortened(file: str) -> str:
    """Return a path as a reader wants it: relative to the working directory where it lies below."""
    with suppress(OSError):
        here = os.getcwd() + os.sep
        return file.removeprefix(here)
    return file


def _thread(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    thread = getattr(args[0], "__self__", None)
    if isinstance(thread, threading.Thread):
        notes.threads[thread] = site


def _socket(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    notes.sockets[args[0]] = site


def _open(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    path, _, flags = args
    if len(notes.opened) >= MOST_PATHS:
        return
    if isinstance(path, int):  # an end of a pipe, of which nothing tells that it was made
        with suppress(OSError):
            notes.opened[os.readlink(f"/proc/self/fd/{path}")] = site
        return
    name = os.path.abspath(os.fsdecode(path))
    notes.opened[name] = site
    if isinstance(flags, int) and flags & os.O_CREAT:
        _make(notes, (name,), site)


def _make(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    if len(notes.made) < MOST_PATHS and not isinstance(args[0], int):
        name = os.path.abspath(os.fsdecode(args[0]))
        if not os.path.lexists(name):  # the event comes before the deed, which may find it there
            notes.made[name] = site


def _make_second(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    _make(notes, args[1:], site)


def _map(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    if args[0] >= 0:
        folder, _, name = os.readlink(f"/proc/self/fd/{args[0]}").rpartition("/")
        if folder == "/dev/shm":
            notes.segments[name] = site


def _variable(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    name, *value = map(os.fsdecode, args)
    notes.variables[name] = (value[0] if value else None, site)


def _child(notes: Notes, args: tuple[Any, ...], site: Site) -> None:
    argv: Any = args[1]
    words: list[Any] = [argv] if isinstance(argv, str | bytes | os.PathLike) else list(argv)
    notes.children.append((tuple(os.fsdecode(word) for word in words), site))


def _import(notes: Notes, args: tuple[Any, ...], _site: Site) -> None:
    notes.imported.add(args[0].partition(".")[0])


def _fork(notes: Notes, _args: tuple[Any, ...], site: Site) -> None:
    notes.children.append(((), site))


def _signal(notes: Notes, args: tuple[Any, ...], _site: Site) -> None:
    notes.signalled(args[0])


def _setting(name: str) -> Callable[[Notes, tuple[Any, ...], Site], None]:
    def note(notes: Notes, _args: tuple[Any, ...], site: Site) -> None:
        notes.settings[name] = site

    return note


_EVENTS: Final[dict[str, Callable[[Notes, tuple[Any, ...], Site], None]]] = {
    "_thread.start_new_thread": _thread,
    "_thread.start_joinable_thread": _thread,
    "socket.__new__": _socket,
    "import": _import,
    "open": _open,
    "os.mkdir": _make,
    "os.rename": _make_second,
    "os.link": _make_second,
    "os.symlink": _make_second,
    "mmap.__new__": _map,
    "os.putenv": _variable,
    "os.unsetenv": _variable,
    "subprocess.Popen": _child,
    "os.posix_spawn": _child,
    "os.fork": _fork,
    "os.forkpty": _fork,
    "os.kill": _signal,
    "os.chdir": _setting("cwd"),
    "resource.setrlimit": _setting("rlimit"),
    "resource.prlimit": _setting("rlimit"),
    "sys.setprofile": _setting("trace"),
    "sys.settrace": _setting("trace"),
    "sys.excepthook": _setting("excepthook"),
}


def _hook(event: str, args: tuple[Any, ...]) -> None:
    note = _EVENTS.get(event)
    if note is None or not _keepers:
        return
    with suppress(Exception):  # an audit hook that raises would stop what it watches
        for notes in _keepers:
            note(notes, args, _site(notes))


class _Kind:
    OWN: Final = 0
    LIBRARY: Final = 1
    IMPORT: Final = 2
    RUNNER: Final = 3


_STDLIB: Final = os.path.dirname(os.__file__) + os.sep
_OURS: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_kinds: dict[str, int] = {}


def kind(file: str) -> int:
    """Return what stands in a file: the user's own code, a library's, the import system or pytest."""
    found = _kinds.get(file)
    if found is None:
        found = _kinds[file] = _kind(file)
    return found


def is_own(file: str) -> bool:
    """Tell whether a file is neither of the standard library, nor installed, nor ours."""
    return kind(file) == _Kind.OWN


def _kind(file: str) -> int:
    if file.startswith("<frozen importlib"):
        return _Kind.IMPORT
    if f"{os.sep}_pytest{os.sep}" in file or f"{os.sep}pluggy{os.sep}" in file:
        return _Kind.RUNNER
    installed = file.startswith(_STDLIB) or f"{os.sep}site-packages{os.sep}" in file
    if installed or file.startswith((_OURS, "<frozen")):
        return _Kind.LIBRARY
    return _Kind.OWN


# The hooks within which the code of tests and fixtures runs.
_RUN_TESTS: Final = frozenset({"pytest_pyfunc_call", "pytest_fixture_setup", "pytest_runtest_call"})


_STANDING_IN: Final = frozenset({_announced.__code__, auditing.settrace.__code__})


def _site(notes: Notes) -> Site:
    """Return the innermost frame of the user's own code, else the innermost of all."""
    frame = sys._getframe(2)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if frame.f_code in _STANDING_IN and frame.f_back is not None:
        frame = frame.f_back
    own = innermost = outermost = frame
    found = foreign = False
    for _ in range(MOST_FRAMES):
        here = kind(frame.f_code.co_filename)
        if here == _Kind.RUNNER:
            break
        foreign = foreign or here == _Kind.IMPORT
        if here == _Kind.OWN and not found:
            own, found = frame, True
        outermost = frame
        if frame.f_back is None:
            break
        frame = frame.f_back
    chosen = own if found else innermost
    hook = outermost.f_code.co_name
    foreign = foreign or (hook.startswith("pytest_") and hook not in _RUN_TESTS)
    code = chosen.f_code
    return Site(code.co_filename, chosen.f_lineno or 0, code.co_qualname, notes.turn(), foreign)
