"""The table of supervision scenarios that are recorded from Erlang/OTP.

Each rule of its supervisor, at least once.
"""

import itertools
from typing import Any

Json = Any

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "transient", "temporary")
REASONS = ("normal", "shutdown", "shutdown(t)", "boom", "kill")


def child(name: str, **fields: Json) -> Json:
    """Return a worker that traps exits, unless the fields say otherwise."""
    return {"id": name, "behaviour": "trap", "starts": [], **fields}


def tree(*children: Json, **fields: Json) -> Json:
    """Return a supervisor that survives three restarts in five seconds, unless told otherwise."""
    return {
        "strategy": "one_for_one",
        "max_restarts": 3,
        "max_seconds": 5,
        **fields,
        "children": list(children),
    }


def scenario(name: str, rule: str, what: Json, *steps: Json) -> Json:
    """Return one row of the table; it ends by showing the children."""
    return {
        "name": name,
        "rule": rule,
        "tree": what,
        "script": [*steps, ["which", "root"], ["count", "root"]],
    }


def table() -> list[Json]:
    """Return all scenarios."""
    rows = [
        *_matrix(),
        *_starting(),
        *_stopping(),
        *_requests(),
        *_groups(),
        *_intensity(),
        *_levels(),
        *_auto(),
    ]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), "every scenario has its own name"
    return rows


def _matrix() -> list[Json]:
    rows = []
    for strategy, restart, reason in itertools.product(STRATEGIES, RESTARTS, REASONS):
        children = (
            child("a"),
            child("t", restart="temporary"),
            child("x", restart=restart),
            child("u", restart="temporary"),
            child("c", restart="transient"),
        )
        name = f"{strategy} {restart} {reason}"
        rows.append(
            scenario(name, "8-11", tree(*children, strategy=strategy), ["exit", "x", reason])
        )
    return rows


def _starting() -> list[Json]:
    many = [child(name) for name in "abc"]
    return [
        scenario("starts in order", "1", tree(*many)),
        scenario("no children", "1", tree()),
        scenario("start fails", "2", tree(*many, child("d", starts=["error"]), child("e"))),
        scenario("start crashes", "2", tree(child("a"), child("b", starts=["crash"]))),
        scenario(
            "start fails below",
            "2",
            tree(child("a"), {"id": "s", "tree": tree(child("b"), _failing("c"))}),
        ),
        scenario("ignore keeps a permanent", "3", tree(child("a", starts=["ignore"]), child("b"))),
        scenario(
            "ignore drops a temporary",
            "3",
            tree(child("a", starts=["ignore"], restart="temporary"), child("b")),
        ),
        scenario(
            "ignore at restart",
            "3",
            tree(child("a", starts=["ok", "ignore"])),
            ["exit", "a", "boom"],
        ),
        scenario(
            "ignored then restarted by hand",
            "3",
            tree(child("a", starts=["ignore"])),
            ["restart", "root", "a"],
        ),
    ]


def _failing(name: str) -> Json:
    return child(name, starts=["error"])


def _stopping() -> list[Json]:
    stubborn = {"behaviour": "stubborn", "shutdown": 60}
    return [
        scenario("reverse order", "5", tree(*[child(name) for name in "abcd"])),
        scenario(
            "stubborn ones are killed", "5 19", tree(child("a", **stubborn), child("b", **stubborn))
        ),
        scenario("brutal kill", "19", tree(child("a", shutdown="brutal_kill"), child("b"))),
        scenario(
            "lingering within patience",
            "19",
            tree(child("a", behaviour=["linger", 40], shutdown=400)),
        ),
        scenario(
            "lingering for ever allowed",
            "19",
            tree(child("a", behaviour=["linger", 40], shutdown="infinity")),
        ),
        scenario(
            "lingering beyond patience",
            "19",
            tree(child("a", behaviour=["linger", 900], shutdown=40)),
        ),
        scenario(
            "plain children",
            "19",
            tree(child("a", behaviour="plain"), child("b", behaviour="plain")),
        ),
        *[
            scenario(
                f"{restart} ends with {reason} at shutdown",
                "20",
                tree(child("a", restart=restart, behaviour=["reason", reason])),
            )
            for restart, reason in itertools.product(
                RESTARTS, ("normal", "shutdown", "shutdown(t)", "boom")
            )
        ],
        scenario(
            "terminated with another reason",
            "20",
            tree(child("a", behaviour=["reason", "boom"])),
            ["terminate", "root", "a"],
        ),
        *[
            scenario(
                f"parent exits with {reason}",
                "23",
                tree(child("a"), child("b")),
                ["parent_exit", reason],
            )
            for reason in ("normal", "shutdown", "boom")
        ],
        scenario(
            "parent dies while suspended",
            "23",
            tree(child("a")),
            ["queued", "root", [["exit", "a", "boom"]]],
            ["parent_exit", "boom"],
        ),
        scenario("strangers are survived", "23", tree(child("a")), ["stray", "root"]),
        scenario(
            "killed supervisor",
            "25",
            tree(child("z"), {"id": "s", "tree": tree(child("a", behaviour="plain"))}),
            ["exit", "s", "kill"],
        ),
    ]


def _requests() -> list[Json]:
    two = tree(child("a"), child("b"))
    retrying = tree(child("a"), child("b", starts=["ok", "error", "error"]), max_restarts=9)
    temporary = tree(child("a", restart="temporary"), child("b"))
    new = ["start", "root", child("n")]
    return [
        scenario(
            "unknown child",
            "18",
            two,
            ["terminate", "root", "x"],
            ["restart", "root", "x"],
            ["delete", "root", "x"],
        ),
        scenario("running child", "18", two, ["restart", "root", "a"], ["delete", "root", "a"]),
        scenario(
            "terminate, restart",
            "18",
            two,
            ["terminate", "root", "a"],
            ["which", "root"],
            ["restart", "root", "a"],
        ),
        scenario(
            "terminate, delete",
            "18",
            two,
            ["terminate", "root", "a"],
            ["delete", "root", "a"],
            ["restart", "root", "a"],
        ),
        scenario(
            "terminate twice", "18", two, ["terminate", "root", "a"], ["terminate", "root", "a"]
        ),
        scenario(
            "terminate a temporary",
            "18",
            temporary,
            ["terminate", "root", "a"],
            ["restart", "root", "a"],
        ),
        scenario("start a child", "6", two, new),
        scenario("start a child twice", "18", two, new, new),
        scenario(
            "start a child that is present",
            "18",
            two,
            ["terminate", "root", "a"],
            ["start", "root", child("a")],
        ),
        scenario(
            "start a child that fails",
            "18",
            two,
            ["start", "root", _failing("n")],
            ["restart", "root", "n"],
        ),
        scenario(
            "start a child that ignores", "3", two, ["start", "root", child("n", starts=["ignore"])]
        ),
        scenario(
            "start a temporary that ignores",
            "3",
            two,
            ["start", "root", child("n", starts=["ignore"], restart="temporary")],
        ),
        scenario("start a bad child", "4 21", two, ["start", "root", child("n", significant=True)]),
        scenario(
            "restart by hand fails",
            "18",
            tree(child("a", starts=["ok", "error"])),
            ["terminate", "root", "a"],
            ["restart", "root", "a"],
            ["delete", "root", "a"],
        ),
        scenario(
            "requests interleave with retries",
            "16",
            retrying,
            ["queued", "root", [["exit", "b", "boom"], ["which", "root"], ["count", "root"]]],
        ),
        scenario(
            "restarting child refuses",
            "18",
            retrying,
            [
                "queued",
                "root",
                [["exit", "b", "boom"], ["restart", "root", "b"], ["delete", "root", "b"]],
            ],
        ),
        scenario(
            "terminate cancels a retry",
            "18",
            retrying,
            ["queued", "root", [["exit", "b", "boom"], ["terminate", "root", "b"]]],
            ["restart", "root", "b"],
        ),
        scenario(
            "terminate and delete cancel a retry",
            "18",
            retrying,
            [
                "queued",
                "root",
                [
                    ["exit", "b", "boom"],
                    ["terminate", "root", "b"],
                    ["delete", "root", "b"],
                    ["start", "root", child("b")],
                ],
            ],
        ),
        scenario(
            "a dead child is not active",
            "7",
            two,
            ["queued", "root", [["count", "root"], ["exit", "a", "boom"]]],
        ),
        scenario(
            "suspended restarts nothing",
            "24",
            two,
            ["queued", "root", [["exit", "a", "boom"], ["exit", "b", "boom"], ["which", "root"]]],
        ),
        scenario(
            "terminate one that has just died",
            "19",
            two,
            ["queued", "root", [["terminate", "root", "b"], ["exit", "a", "boom"]]],
        ),
        scenario(
            "stop one whose death is queued",
            "19",
            two,
            [
                "queued",
                "root",
                [["terminate", "root", "a"], ["exit", "a", "boom"], ["restart", "root", "a"]],
            ],
        ),
        scenario(
            "a restarted by hand does not count",
            "14",
            tree(child("a"), max_restarts=0),
            ["terminate", "root", "a"],
            ["restart", "root", "a"],
        ),
    ]


def _groups() -> list[Json]:
    rows = []
    for strategy in ("one_for_all", "rest_for_one"):
        four = [child(name) for name in "abcd"]
        late = [child("a"), child("b"), child("c", starts=["ok", "error", "error"]), child("d")]
        twice = [
            child("a"),
            child("b"),
            child("c", starts=["ok", "error"]),
            child("d", starts=["ok", "error"]),
        ]
        crowd = [
            child("a", starts=["ok", "ignore"]),
            child("b"),
            child("c", starts=["ok", "ignore"]),
        ]
        rows += [
            scenario(
                f"{strategy} counts one",
                "12",
                tree(*four, strategy=strategy, max_restarts=1),
                ["exit", "b", "boom"],
            ),
            scenario(
                f"{strategy} twice in a row",
                "12",
                tree(*four, strategy=strategy, max_restarts=1),
                ["exit", "b", "boom"],
                ["exit", "c", "boom"],
            ),
            scenario(
                f"{strategy} two at once",
                "13",
                tree(*four, strategy=strategy),
                ["queued", "root", [["exit", "b", "boom"], ["exit", "c", "boom"]]],
            ),
            scenario(
                f"{strategy} two at once, upwards",
                "13",
                tree(*four, strategy=strategy),
                ["queued", "root", [["exit", "c", "boom"], ["exit", "b", "boom"]]],
            ),
            scenario(
                f"{strategy} two at once, intensity 1",
                "13",
                tree(*four, strategy=strategy, max_restarts=1),
                ["queued", "root", [["exit", "b", "boom"], ["exit", "d", "boom"]]],
            ),
            scenario(
                f"{strategy} fails part-way",
                "17",
                tree(*late, strategy=strategy, max_restarts=5),
                ["exit", "b", "boom"],
            ),
            scenario(
                f"{strategy} fails part-way twice over",
                "17",
                tree(*twice, strategy=strategy, max_restarts=5),
                ["exit", "a", "boom"],
            ),
            scenario(
                f"{strategy} fails part-way, too often",
                "17",
                tree(*late, strategy=strategy, max_restarts=2),
                ["exit", "b", "boom"],
            ),
            scenario(
                f"{strategy} seen part-way",
                "16 17",
                tree(*late, strategy=strategy, max_restarts=5),
                [
                    "queued",
                    "root",
                    [["exit", "b", "boom"], ["which", "root"], ["terminate", "root", "a"]],
                ],
            ),
            scenario(
                f"{strategy} dies part-way",
                "17",
                tree(*late, strategy=strategy, max_restarts=5),
                ["queued", "root", [["exit", "b", "boom"], ["exit", "a", "boom"]]],
            ),
            scenario(
                f"{strategy} ignores at restart",
                "3 11",
                tree(*crowd, strategy=strategy),
                ["exit", "b", "boom"],
                ["exit", "b", "boom"],
            ),
            scenario(
                f"{strategy} brings back one stopped by hand",
                "11",
                tree(*four, strategy=strategy),
                ["terminate", "root", "c"],
                ["exit", "b", "boom"],
            ),
            scenario(
                f"{strategy} stubborn sibling",
                "11",
                tree(
                    child("a"),
                    child("b", behaviour="stubborn", shutdown=50),
                    child("c"),
                    strategy=strategy,
                ),
                ["exit", "a", "boom"],
            ),
            scenario(
                f"{strategy} sibling errs at shutdown",
                "11 20",
                tree(child("a"), child("b", behaviour=["reason", "boom"]), strategy=strategy),
                ["exit", "a", "boom"],
            ),
        ]
    return rows


def _intensity() -> list[Json]:
    crash = ["exit", "a", "boom"]
    pair = tree(child("a"), child("b"), max_restarts=1)
    failing = tree(child("a", starts=["ok", "error", "error", "error"]), child("b"), max_restarts=2)
    return [
        scenario("intensity 0", "14 15", tree(child("a"), child("b"), max_restarts=0), crash),
        scenario("one too many", "14 15", tree(child("a"), child("b")), crash, crash, crash, crash),
        scenario("as many as allowed", "14", tree(child("a"), child("b")), crash, crash, crash),
        scenario(
            "after the window",
            "14",
            tree(child("a"), max_restarts=1, max_seconds=1),
            crash,
            ["wait", 2100],
            crash,
        ),
        scenario(
            "within the window",
            "14",
            tree(child("a"), max_restarts=1, max_seconds=2),
            crash,
            ["wait", 50],
            crash,
        ),
        scenario(
            "normal exits count",
            "9",
            tree(child("a"), child("b"), max_restarts=1),
            ["exit", "a", "normal"],
            ["exit", "a", "normal"],
        ),
        scenario(
            "two at once count two", "13", pair, ["queued", "root", [crash, ["exit", "b", "boom"]]]
        ),
        scenario("failed restarts count", "16", failing, crash),
        scenario(
            "crash of a temporary does not count",
            "10",
            tree(child("a", restart="temporary"), child("b"), max_restarts=0),
            crash,
        ),
        scenario(
            "normal end of a transient does not count",
            "10",
            tree(child("a", restart="transient"), max_restarts=0),
            ["exit", "a", "normal"],
        ),
        scenario(
            "ended by hand does not count",
            "14",
            tree(child("a"), max_restarts=0),
            ["terminate", "root", "a"],
        ),
    ]


def _levels() -> list[Json]:
    def below(name: str, what: Json, **fields: Json) -> Json:
        return {"id": name, "tree": what, **fields}

    inner = tree(child("x"), child("y"), max_restarts=0)
    middle = tree(child("m"), below("inner", inner), max_restarts=0)
    patient = tree(
        child("m"), below("inner", inner), child("n"), max_restarts=1, strategy="one_for_all"
    )
    crash = ["exit", "x", "boom"]
    return [
        scenario("escalates one level", "15", tree(child("a"), below("inner", inner)), crash),
        scenario("escalates two levels", "15", tree(child("a"), below("middle", middle)), crash),
        scenario(
            "escalates three levels",
            "15",
            tree(child("a"), below("middle", middle), max_restarts=0),
            crash,
        ),
        scenario(
            "escalates to a group",
            "15 11",
            tree(below("middle", patient), child("z")),
            crash,
            crash,
        ),
        scenario(
            "a transient supervisor is not restarted",
            "15",
            tree(child("a"), below("inner", inner, restart="transient")),
            crash,
        ),
        scenario(
            "a temporary supervisor is forgotten",
            "15",
            tree(child("a"), below("inner", inner, restart="temporary")),
            crash,
        ),
        scenario(
            "subtrees stop from the leaves",
            "5",
            tree(below("one", tree(child("p"), child("q"))), below("two", tree(child("r")))),
        ),
        scenario(
            "siblings of a subtree",
            "11",
            tree(child("a"), below("inner", inner), child("c"), strategy="rest_for_one"),
            ["exit", "a", "boom"],
        ),
        scenario(
            "restart of a subtree fails",
            "16",
            tree(below("s", tree(child("p", starts=["ok", "error"]), max_restarts=0)), child("a")),
            ["exit", "p", "boom"],
        ),
        scenario(
            "a subtree is terminated by hand",
            "18",
            tree(below("inner", inner), child("a")),
            ["terminate", "root", "inner"],
            ["restart", "root", "inner"],
        ),
    ]


def _auto() -> list[Json]:
    def two(mode: str, restart: str = "transient") -> Json:
        chosen = {"restart": restart, "significant": True}
        return tree(child("a", **chosen), child("b", **chosen), child("c"), auto_shutdown=mode)

    below = tree(child("z"), {"id": "s", "tree": two("any_significant"), "restart": "transient"})
    ends = ["exit", "a", "normal"]
    both = [ends, ["exit", "b", "shutdown"]]
    return [
        scenario("any significant", "21", two("any_significant"), ends),
        scenario("all significant, one", "21", two("all_significant"), ends),
        scenario("all significant, both", "21", two("all_significant"), *both),
        scenario(
            "any significant, insignificant ends",
            "21",
            two("any_significant"),
            ["exit", "c", "normal"],
        ),
        scenario(
            "significant crash is restarted", "21", two("any_significant"), ["exit", "a", "boom"]
        ),
        scenario(
            "significant temporary crashes",
            "21",
            two("any_significant", "temporary"),
            ["exit", "a", "boom"],
        ),
        scenario(
            "all significant temporaries",
            "21",
            two("all_significant", "temporary"),
            ["exit", "a", "boom"],
            ["exit", "b", "normal"],
        ),
        scenario("terminated by hand", "21", two("any_significant"), ["terminate", "root", "a"]),
        scenario(
            "all significant, one by hand",
            "21",
            two("all_significant"),
            ["terminate", "root", "a"],
            ["exit", "b", "normal"],
        ),
        scenario(
            "all significant, both at once", "21", two("all_significant"), ["queued", "root", both]
        ),
        scenario("auto shutdown below", "21", below, ends),
    ]
