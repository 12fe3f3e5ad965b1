"""A model of one supervisor, written from the rules alone.

Slow, without time or concurrency, easy to believe.
"""

from dataclasses import dataclass, field
from typing import Any

NOT_ABNORMAL = ("normal", "shutdown", "shutdown(t)")


@dataclass
class ModelChild:
    """One child: its specification, whether it runs, how often it was started."""

    id: str
    restart: str = "permanent"
    significant: bool = False
    state: str = "stopped"


@dataclass
class Model:
    """One supervisor; `events` is what it must have done."""

    strategy: str
    max_restarts: int
    max_seconds: float
    auto_shutdown: str
    children: list[ModelChild] = field(default_factory=list)
    now: float = 0.0
    times: list[float] = field(default_factory=list)
    armed: dict[str, list[str]] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    retries: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    alive: bool = True

    def find(self, name: str) -> ModelChild | None:
        return next((child for child in self.children if child.id == name), None)

    def which(self) -> list[list[str]]:
        return [[child.id, child.state] for child in reversed(self.children)]

    def count(self) -> list[int]:
        return [
            len(self.children),
            sum(child.state == "running" for child in self.children),
            0,
            len(self.children),
        ]

    # What happens.

    def boot(self) -> None:
        for child in list(self.children):
            if not self.start(child):
                self.events.append(["report", "root", "start_error", "boom", child.id])
                return self.end(f"shutdown(failed_to_start_child({child.id}, boom))")
        return None

    def die_together(self, deaths: list[tuple[str, str]]) -> None:
        """All of these have died before the supervisor looks; it hears of them in this order."""
        dead = [
            (child, reason)
            for name, reason in deaths
            if (child := self.find(name)) and child.state == "running"
        ]
        heard: list[tuple[ModelChild, str]] = []
        for child, reason in dead:
            if child.state == "running":
                child.state = "dead"
                heard.append((child, reason))
        for child, reason in heard:
            # One that a group restart has started again, or has met dead, is not dead news any
            # more.
            if self.alive and child.state == "dead":
                self.hear(
                    {id(one): why for one, why in heard},
                    child,
                    "killed" if reason == "kill" else reason,
                )
        while self.alive and self.retries:
            again = self.find(self.retries.pop(0))
            if again is not None and again.state == "restarting":
                self.restart(again, {})

    def hear(self, reasons: dict[int, str], child: ModelChild, reason: str) -> None:
        abnormal = reason not in NOT_ABNORMAL
        due = child.restart == "permanent" or (child.restart == "transient" and abnormal)
        if due or abnormal:
            self.events.append(["report", "root", "child_terminated", reason, child.id])
        if due:
            return self.restart(child, reasons)
        self.gone(child)
        others = [one for one in self.children if one.significant and one.state != "stopped"]
        ends = self.auto_shutdown == "any_significant" or (
            self.auto_shutdown == "all_significant" and not others
        )
        if child.significant and ends:
            self.end("shutdown", reasons)
        return None

    def restart(self, child: ModelChild, reasons: dict[int, str]) -> None:
        self.times = [
            *(then for then in self.times if self.now - then <= self.max_seconds),
            self.now,
        ]
        if len(self.times) > self.max_restarts:
            self.events.append(
                ["report", "root", "shutdown", "reached_max_restart_intensity", child.id]
            )
            self.gone(child)
            return self.end("shutdown", reasons)
        group = [child]
        if self.strategy == "one_for_all":
            group = list(self.children)
        elif self.strategy == "rest_for_one":
            group = self.children[self.children.index(child) :]
        child.state = "stopped"
        for member in reversed(group):
            self.stop(member, reasons)
        for member in group:
            if member in self.children and not self.start(member):
                self.events.append(["report", "root", "start_error", "boom", member.id])
                member.state = "restarting"
                self.retries.append(member.id)
                return None
        return None

    def start(self, child: ModelChild) -> bool:
        """Start it, and return whether that did not fail."""
        number = self.starts[child.id] = self.starts.get(child.id, 0) + 1
        armed = self.armed.get(child.id, [])
        outcome = armed.pop(0) if armed else "ok"
        self.events.append(["start", child.id, number, outcome])
        if outcome == "error":
            return False
        if outcome == "ok":
            child.state = "running"
            self.events.append(["progress", "root", child.id])
        else:
            self.gone(child)
        return True

    def stop(self, child: ModelChild, reasons: dict[int, str]) -> None:
        if child.state == "running":
            self.events.append(["stop", child.id, self.starts[child.id], "shutdown"])
        if child.state == "dead":
            reason = reasons[id(child)].replace("kill", "killed")
            fine = reason == "shutdown" or (child.restart != "permanent" and reason in NOT_ABNORMAL)
            if not fine:
                self.events.append(["report", "root", "shutdown_error", reason, child.id])
        self.gone(child)

    def gone(self, child: ModelChild) -> None:
        child.state = "stopped"
        if child.restart == "temporary" and child in self.children:
            self.children.remove(child)

    def end(self, reason: str, reasons: dict[int, str] | None = None) -> None:
        for child in reversed(list(self.children)):
            self.stop(child, reasons or {})
        self.events.append(["down", "root", reason])
        self.alive = False

    # What is asked.

    def ask_start(self, child: ModelChild) -> str:
        old = self.find(child.id)
        if old is not None:
            return "already_started" if old.state == "running" else "already_present"
        self.children.append(child)
        if not self.start(child):
            self.children.remove(child)
            return "start_failed"
        return "ok" if child.state == "running" else "ignored"

    def ask_restart(self, name: str) -> str:
        child = self.find(name)
        if child is None:
            return "not_found"
        if child.state != "stopped":
            return child.state
        if not self.start(child):
            return "start_failed"
        return "ok" if child.state == "running" else "ignored"

    def ask_terminate(self, name: str) -> str:
        child = self.find(name)
        if child is None:
            return "not_found"
        self.stop(child, {})
        return "ok"

    def ask_delete(self, name: str) -> str:
        child = self.find(name)
        if child is None:
            return "not_found"
        if child.state != "stopped":
            return child.state
        self.children.remove(child)
        return "ok"
