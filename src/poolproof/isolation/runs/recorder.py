"""Records a run of tests while it happens: one JSON line a test, in whatever process and order it ran.

Standard library and pytest only, because it runs inside other people's suites. Under pytest-xdist the controller
writes, because it alone hears of workers that crash. Each line is one write to a file opened for appending, so that
what is known survives whatever ends the run.
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest

from poolproof.isolation.policy import Policy, parse_actions

if TYPE_CHECKING:
    import warnings

SCHEMA: Final = 1
MOST_TEXT: Final = 6_000
MOST_MESSAGE: Final = 300
ABOUT: Final = "poolproof_about"
"""The property that carries a test's markers and resources from where it is collected to where it is recorded."""

_TELLING: Final = (
    "unclosed",
    "never awaited",
    "never retrieved",
    "was destroyed but it is pending",
)
_PHASES: Final = ("setup", "call", "teardown")


def register(config: pytest.Config, path: str) -> None:
    """Record the session of `config` into `path`; what an earlier run wrote there is gone."""
    # First, so that the suite's own filters, which come after it, still decide.
    config.getini("filterwarnings").insert(0, "always::ResourceWarning")
    config.pluginmanager.register(_Notes(), "poolproof-notes")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config, path), "poolproof-recorder")


class _Notes:
    """Notes, where a test is collected, what its report would not tell."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            markers = sorted({mark.name for mark in item.iter_markers()})
            item.user_properties.append(
                (ABOUT, {"markers": markers, "resources": _resources(item)})
            )


def _resources(item: pytest.Item) -> list[str]:
    keys = [str(mark.args[0]) for mark in item.iter_markers("resource") if mark.args]
    groups = [str(mark.kwargs.get("group", "")) for mark in item.iter_markers("serial")]
    return [*keys, *(f"serial:{group}" if group else "serial" for group in groups)]


class Recorder:
    """Writes what it hears of, as it hears of it."""

    def __init__(self, config: pytest.Config, path: str) -> None:
        self._path = os.path.abspath(path)
        self._grouped = config.getoption("dist", "no") == "loadgroup"
        self._began = time.monotonic()
        self._open: dict[tuple[str, str], dict[str, Any]] = {}
        self._policy = _policy(config)
        with open(self._path, "wb"):
            pass
        self.write(
            kind="session",
            schema=SCHEMA,
            at=time.time(),
            python=platform.python_version(),
            pytest=pytest.__version__,
            workers=len(config.getoption("tx", None) or ()),
            rootdir=str(config.rootpath),
            arguments=list(config.invocation_params.args),
        )

    def write(self, **line: object) -> None:
        """Append one line; the descriptor is not kept, so that no test can close it or be blamed for it."""
        data = json.dumps(line, default=str, separators=(",", ":")).encode() + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _name(self, nodeid: str) -> str:
        """Return the test's name without the group that xdist appends to it."""
        at = nodeid.rfind("@")
        return nodeid[:at] if self._grouped and at > nodeid.rfind("]") else nodeid

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write which tests there are; under xdist, the workers say it."""
        if items := session.items:
            self.write(kind="collected", tests=[item.nodeid for item in items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Write which tests a worker has collected."""
        worker = str(node.gateway.id)
        self.write(kind="collected", worker=worker, tests=[self._name(test) for test in ids])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write that a test begins: if the run dies, it died in one of those that have not ended."""
        self.write(kind="start", test=self._name(nodeid), at=time.time())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the phases of a test, and write its line at the end of its teardown."""
        key = (str(getattr(report, "worker_id", "main")), self._name(report.nodeid))
        test = self._open.setdefault(key, _begun(*key))
        _add(test, report)
        if report.when == "teardown" or report.when not in _PHASES:
            self._close(key)

    def _close(self, key: tuple[str, str]) -> None:
        test = self._open.pop(key)
        if "leaks" in test:
            test["leaks"] = [{**leak, "borne": self._is_borne(leak)} for leak in test["leaks"]]
        self.write(kind="test", **test)

    def _is_borne(self, leak: dict[str, Any]) -> bool:
        action = self._policy.action(leak["resource"])
        return action in ("warn", "ignore") or leak.get("action") == "pinned"

    def pytest_warning_recorded(
        self, warning_message: "warnings.WarningMessage", nodeid: str
    ) -> None:
        """Write a warning that tells of something unclosed, unawaited or never looked at."""
        text, category = str(warning_message.message), warning_message.category.__name__
        if category == "ResourceWarning" or any(words in text for words in _TELLING):
            where = f"{warning_message.filename}:{warning_message.lineno}"
            self.write(
                kind="warning",
                test=self._name(nodeid),
                category=category,
                text=text[:MOST_MESSAGE],
                where=where,
            )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the lines of those that never ended, and that the session did."""
        for key in list(self._open):
            self._open[key]["outcome"] = "crashed"
            self._close(key)
        self.write(kind="end", exit=int(exitstatus), seconds=time.monotonic() - self._began)


def _policy(config: pytest.Config) -> Policy:
    """Return what the suite would let fail: a run that only reports does not tell."""
    lines: list[str] = config.getini("poolproof_policy")
    known = {line.partition(":")[0].strip() for line in lines}  # the guard refuses what is unknown
    return Policy(mode="fail", actions=parse_actions(lines, known))


def _begun(worker: str, test: str) -> dict[str, Any]:
    return {"test": test, "worker": worker, "outcome": "passed", "seconds": {}, "reruns": 0}


def _add(test: dict[str, Any], report: pytest.TestReport) -> None:
    """Add one phase to what is known of a test; what is worse stands."""
    test.setdefault("at", report.start)
    test["seconds"][report.when] = report.duration
    if str(report.outcome) == "rerun":  # pytest-rerunfailures: it will begin again
        test.update(reruns=test["reruns"] + 1, outcome="rerun", message=_message(report))
        return
    if report.when == "setup" and test["outcome"] == "rerun":
        test["outcome"] = "passed"
    outcome = _outcome(report)
    if outcome != "passed" and test["outcome"] in ("passed", "skipped", "xfailed"):
        test.update(outcome=outcome, message=_message(report), text=_text(report))
    if report.when == "teardown":
        _add_properties(test, report.user_properties)


def _outcome(report: pytest.TestReport) -> str:
    if report.when not in _PHASES:
        return "crashed"  # xdist's own report of a worker that is gone
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return str(report.outcome)


def _message(report: pytest.TestReport) -> str:
    """Return the first words of why: the exception's message, or the reason of a skip."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)[:MOST_MESSAGE]
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])[:MOST_MESSAGE]
    return str(report.longrepr or "").strip()[:MOST_MESSAGE]


def _text(report: pytest.TestReport) -> str:
    return report.longreprtext[-MOST_TEXT:] if report.failed else ""


def _add_properties(test: dict[str, Any], properties: Sequence[tuple[str, Any]]) -> None:
    """Add what the guard, the sandbox and the locks told of a test."""
    for name, value in properties:
        if name == ABOUT:
            test.update(value)
        elif name == "poolproof_leaks":
            test["leaks"] = [*test.get("leaks", ()), *value]
        elif name == "poolproof_waited":
            test["waited"] = test.get("waited", 0.0) + value
        elif name == "poolproof_sandbox":
            test["released"], test["verified"] = value.get("released", 0), value.get("verified", 0)
