"""Random supervision scenarios: trees, and scripts of deaths and requests, as JSON."""

import itertools
from typing import Any

from hypothesis import strategies as st

Json = Any

REASONS = ("normal", "shutdown", "shutdown(t)", "boom", "boom", "kill")
PERIOD_SECONDS = 2
LONG_PAUSE_MS = 3200


@st.composite
def trees(draw: st.DrawFn, numbers: "itertools.count[int]", depth: int = 2) -> Json:
    """Draw a tree; ids are unique in all of it."""
    auto = draw(st.sampled_from(["never", "never", "never", "any_significant", "all_significant"]))
    size = draw(st.integers(1, 4))
    return {
        "strategy": draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])),
        "max_restarts": draw(st.sampled_from([0, 1, 1, 2, 3, 3, 5, 9])),
        "max_seconds": PERIOD_SECONDS,
        "auto_shutdown": auto,
        "children": [draw(children(numbers, depth, auto)) for _ in range(size)],
    }


@st.composite
def children(draw: st.DrawFn, numbers: "itertools.count[int]", depth: int, auto: str) -> Json:
    """Draw a worker, or a supervisor with a tree of its own."""
    restart = draw(st.sampled_from(["permanent", "permanent", "transient", "temporary"]))
    child: dict[str, Json] = {"id": f"c{next(numbers)}", "restart": restart}
    if auto != "never" and restart != "permanent":
        child["significant"] = draw(st.booleans())
    if depth > 0 and draw(st.integers(0, 3)) == 0:
        return {**child, "tree": draw(trees(numbers, depth - 1))}
    shutdown, behaviour = draw(st.sampled_from(MANNERS))
    outcomes = st.sampled_from(["ok", "ok", "error", "error", "ignore", "crash"])
    first = draw(st.sampled_from(["ok"] * 9 + ["ignore"]))
    later = draw(st.lists(outcomes, max_size=4)) if draw(st.booleans()) else []
    return {**child, "shutdown": shutdown, "behaviour": behaviour, "starts": [first, *later]}


MANNERS: list[tuple[Json, Json]] = [
    *[(5000, "trap")] * 5,
    (5000, "plain"),
    (20, "stubborn"),
    (5000, ["linger", 10]),
    ("infinity", ["linger", 10]),
    ("brutal_kill", "trap"),
    (5000, ["reason", "normal"]),
    (5000, ["reason", "boom"]),
    (5000, ["reason", "shutdown(t)"]),
]


def ids_of(tree: Json) -> tuple[list[str], dict[str, list[str]]]:
    """Return the ids of the workers, and the ids below each supervisor."""
    workers: list[str] = []
    below: dict[str, list[str]] = {}
    waiting = [("root", tree)]
    while waiting:
        name, one = waiting.pop()
        below[name] = [child["id"] for child in one["children"]]
        workers += [child["id"] for child in one["children"] if "tree" not in child]
        waiting += [(child["id"], child["tree"]) for child in one["children"] if "tree" in child]
    return workers, below


def deaths_or_requests(workers: list[str], sup: str, below: list[str]) -> st.SearchStrategy[Json]:
    """Draw what may wait in the mailbox of a suspended supervisor."""
    strategies: list[st.SearchStrategy[Json]] = [deaths(workers), requests(sup, below)]
    return st.one_of(strategies)


@st.composite
def scenarios(draw: st.DrawFn) -> Json:
    """Draw a tree and what happens to it."""
    numbers = itertools.count(1)
    tree = draw(trees(numbers))
    workers, below = ids_of(tree)
    script: list[Json] = []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(
            st.sampled_from(
                ["exit"] * 6 + ["queued"] * 3 + ["request"] * 4 + ["wait", "start", "stray"]
            )
        )
        sup = draw(st.sampled_from(sorted(below)))
        if kind == "wait":
            script.append(["wait", LONG_PAUSE_MS])
        elif kind == "start":
            auto = "never"
            new = draw(children(numbers, 0, auto))
            if draw(st.booleans()) and below[sup]:
                new["id"] = draw(
                    st.sampled_from([name for name in below[sup] if name in workers] or [new["id"]])
                )
            script.append(["start", sup, new])
            workers.append(new["id"])
            below[sup].append(new["id"])
        elif kind == "queued":
            inner = draw(
                st.lists(deaths_or_requests(workers, sup, below[sup]), min_size=1, max_size=4)
            )
            script.append(["queued", sup, inner])
        elif kind == "stray":
            script.append(["stray", "root"] if not script else ["which", "root"])
        else:
            script.append(draw(deaths(workers) if kind == "exit" else requests(sup, below[sup])))
    return {"tree": tree, "script": [*script, ["which", "root"], ["count", "root"]]}


def deaths(workers: list[str]) -> st.SearchStrategy[Json]:
    """Draw the death of a worker."""
    if not workers:
        return st.just(["which", "root"])
    return st.tuples(st.just("exit"), st.sampled_from(list(workers)), st.sampled_from(REASONS)).map(
        list
    )


def requests(sup: str, below: list[str]) -> st.SearchStrategy[Json]:
    """Draw a request to a supervisor."""
    about_one = st.sampled_from(["terminate", "restart", "delete"])
    ids = st.sampled_from([*below, "nobody"])
    return st.one_of(
        st.tuples(about_one, st.just(sup), ids).map(list),
        st.sampled_from([["which", sup], ["count", sup]]),
    )
