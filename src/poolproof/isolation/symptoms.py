"""What the words of a failure tell of its cause: one row for each class of failure, and the first thing to do about it.

The classes come from suites that passed alone and failed together: job queues, databases, caches, async services.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

SYMPTOMS: Final[Mapping[str, str]] = {
    "alone": "a test passes alone and fails together, or the reverse",
    "parallel": "a test passes in one process and fails in parallel",
    "order": "a test's outcome changes with the order",
    "flaky": "a test's outcome changes between identical runs",
    "exhausted": "connections, descriptors or memory run out",
    "collision": "names, keys, ports or files collide",
    "vanished": "what a test made is gone, or somebody changed it",
    "waiting": "tests wait for ever, time out, or block each other",
    "leftovers": "tests leave something behind, or leave it unclosed",
    "drift": "a parallel run is slower, or loses, skips or crashes tests",
}
"""The ten symptoms of a suite whose tests are not isolated."""


class FailureClass(NamedTuple):
    """One class of failure.

    Attributes:
        name: its slug.
        pattern: what its message or traceback says.
        symptom: which of the ten symptoms it is.
        cause: what is the matter, in one clause.
        fix: the first thing to do.
        left: the resources that, left behind by another test, explain it.
    """

    name: str
    pattern: re.Pattern[str]
    symptom: str
    cause: str
    fix: str
    left: frozenset[str] = frozenset()


def _class(  # noqa: PLR0917 - a row of a table
    name: str, pattern: str, symptom: str, cause: str, fix: str, left: str = ""
) -> FailureClass:
    found = re.compile(pattern, re.IGNORECASE)
    return FailureClass(name, found, symptom, cause, fix, frozenset(left.split()))


# The first that matches stands: what says more comes before what says less.
CLASSES: Final = (
    _class(
        "too-many-connections",
        r"\b53300\b|too many (?:connections|clients)|remaining connection slots|pool ?timeout"
        r"|queuepool limit|timed out fetching a new connection|max_connections",
        "exhausted",
        "connections run out: pools that are not closed, or their limits add up to more than the server has",
        "close every client at the end of its test; give each worker a limit, so that their sum fits the server",
        "descriptor port thread task",
    ),
    _class(
        "too-many-files",
        r"too many open files|\bEMFILE\b|\bENFILE\b",
        "exhausted",
        "descriptors run out: files and sockets that tests leave open",
        "see what the guard reports as `descriptor`, and close it where it was made",
        "descriptor child",
    ),
    _class(
        "duplicate-key",
        r"\b23505\b|duplicate key|unique constraint|UNIQUE constraint failed|duplicate entry"
        r"|already exists.*(?:slug|tenant|id\b)",
        "collision",
        "two tests use the same literal for a unique column",
        "`isolation.name('slug')` or `isolation.tenant('a')` instead of a literal",
    ),
    _class(
        "foreign-key",
        r"\b23503\b|foreign key constraint|FOREIGN KEY constraint failed",
        "vanished",
        "rows are deleted in the wrong order, or another test deleted the parent row",
        "delete children before their parents, and only rows that this test made",
    ),
    _class(
        "serialization",
        r"\b40001\b|\b40P01\b|could not serialize access|deadlock detected|database is locked"
        r"|lock wait timeout",
        "waiting",
        "two tests write the same rows or the same database file at the same time",
        "a database or schema for each worker; else `@pytest.mark.resource('database', mode='write')`",
    ),
    _class(
        "job-not-found",
        r"\bjob\b[^\n]{0,80}\bnot found|no such job|missing key for job|not found in (?:queue|redis)",
        "vanished",
        "another worker removed the job: it flushed a shared queue, or has the same job id",
        "`isolation.job_id('prefix')` for ids, and clean up only what this test made; never flush or obliterate",
    ),
    _class(
        "job-state",
        r"\bstate:? ?['\"]?(?:active|waiting|delayed)\b|expected ['\"]?completed['\"]?,? (?:got|received|but)"
        r"|== ['\"]active['\"]",
        "waiting",
        "the job is still running, or another test's worker took it: something was started and not waited for",
        "await the job's end (`isolation.track_task`), and give each test a queue of its own name",
        "task thread executor-job child",
    ),
    _class(
        "row-not-found",
        r"not found in (?:the )?(?:db|database)|no row was found|no result found|DoesNotExist"
        r"|expected \d+ rows?|record not found",
        "vanished",
        "another test deleted, or sees, the rows of this one: they share tables",
        "ask only for rows of this test's namespace, and delete only those",
    ),
    _class(
        "rpc",
        r"TRPC(?:Client)?Error|StatusCode\.(?:NOT_FOUND|UNAVAILABLE|DEADLINE_EXCEEDED)|\bRPC error\b"
        r"|INTERNAL_SERVER_ERROR",
        "vanished",
        "the service behind the call failed: what it says there is the cause, and this only passes it on",
        "look at the service's own log for one of the other classes; give each test its own service state",
        "port child thread",
    ),
    _class(
        "address-in-use",
        r"address already in use|\bEADDRINUSE\b|errno 98\b|port \d+ is (?:already )?(?:in use|allocated)",
        "collision",
        "two tests use the same port, or one left it listening",
        "`isolation.port()`, which hands over a bound socket",
        "port child orphan thread",
    ),
    _class(
        "file-exists",
        r"FileExistsError|\bEEXIST\b|directory not empty",
        "collision",
        "two tests use the same path, or one left its file there",
        "`tmp_path`, or `isolation.dir('name')`",
        "temporary-file",
    ),
    _class(
        "event-loop",
        r"attached to a different loop|event loop is closed|is bound to a different event loop"
        r"|no current event loop",
        "leftovers",
        "an object outlived the event loop that it was made in: a module-level client, or a fixture of wider scope",
        "make it in a fixture of the test's own scope, and close it there",
        "task async-generator policy",
    ),
    _class(
        "unawaited",
        r"was never awaited|was destroyed but it is pending|exception was never retrieved|unclosed ",
        "leftovers",
        "something was started or opened, and nobody awaited or closed it",
        "`isolation.track_task(task)`, or `async with` around what is opened",
        "task async-generator descriptor",
    ),
    _class(
        "crash",
        r"worker '?\w+'? crashed|node down|its process ended in the middle",
        "drift",
        "the process that ran the test is gone: a crash, os._exit, a kill, or no memory",
        "run this test alone; `-X faulthandler` shows where it died",
    ),
    _class(
        "file-vanished",
        r"FileNotFoundError|\bENOENT\b|no such file or directory",
        "vanished",
        "another test removed the file, or changed the working directory",
        "`tmp_path` and absolute paths; `monkeypatch.chdir` instead of `os.chdir`",
        "cwd temporary-file",
    ),
    _class(
        "refused",
        r"connection ?refused|\bECONNREFUSED\b|connection reset|broken pipe|server disconnected",
        "vanished",
        "the server is not up yet, or another test stopped it",
        "wait until it answers before the first test; one server a worker, or one that no test may stop",
        "child port",
    ),
    _class(
        "timeout",
        r"\btime[d-]?[ -]?out\b|TimeoutError|deadline exceeded|Timeout >|nothing happened any more",
        "waiting",
        "it waits for what another test holds, has consumed, or keeps busy",
        "wait for the fact itself; find who holds it by `poolproof bisect`",
        "task thread child executor-job",
    ),
    _class(
        "environment",
        r"KeyError: ['\"][A-Z][A-Z0-9_]+['\"]|os\.environ|environ\(\{",
        "leftovers",
        "the environment is not what the test expects: another test set or removed a variable",
        "`monkeypatch.setenv`, which is undone",
        "environment",
    ),
    _class(
        "mocked",
        r"<(?:Async|Magic)?Mock |assert_called|Expected .* to (?:have been|be) called|MagicMock",
        "leftovers",
        "a patch was left in place, or calls of another test are counted",
        "`monkeypatch`, or `with mock.patch(...)`; `mock_service_factory` makes one for each test",
        "function class-attribute",
    ),
)
UNKNOWN: Final = FailureClass(
    "unclassified",
    re.compile(""),
    "",
    "its message is of no known class",
    "find who changes its outcome by `poolproof bisect`; if nobody does, the test itself is wrong",
)


class Match(NamedTuple):
    """A class of failure, and the line that shows it."""

    of: FailureClass
    line: str


def classify(text: str) -> Match:
    """Return the class of a failure by its message and traceback; what says more stands before what says less."""
    lines = list(_telling_lines(text))
    for found in CLASSES:
        for line in lines:
            if found.pattern.search(line):
                return Match(found, line)
    return Match(UNKNOWN, lines[0] if lines else "")


def _telling_lines(text: str) -> Iterator[str]:
    """Yield the lines of the error itself: where a traceback marks them, only those, for code quotes anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    yield from errors or lines
