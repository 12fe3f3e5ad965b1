"""The report as a person sees it: every kind of row in plain words, short, and at any width."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from poolproof.chaos.result import CrashPoints, Ending, Entry, FaultRow, Result, counted
from poolproof.chaos.result import PointEntry as Point
from poolproof.checkers import Verdict
from poolproof.report import terminal
from poolproof.report.terminal import MOST_STORIES, PLAIN_WIDTH, STYLES, show

pytestmark = pytest.mark.unit

MOST_LINES_OF_A_VIOLATION = 25


def entry(verdict: Verdict = "invalid", fault: str = "kill-busy", **fields: Any) -> Entry:
    return Entry(
        **{
            "invariant": "unresolved-job",
            "verdict": verdict,
            "fault": fault,
            "reason": "a caller waits for ever",
            "hits": 2,
            "trials": 3,
            **fields,
        }
    )


FULL = entry(
    evidence=tuple(f"evidence number {n}" for n in range(9)),
    crash_points=tuple(f"pool.py:{n}" for n in range(0, 40, 2)),
    also=("shutdown-hang", "leak"),
    story=tuple(f"{n:8.3f}  event {n}" for n in range(14)),
    replay="poolproof replay /runs/r1/plans/unresolved-job.json",
    accepted="known since 2014",
)


def result(*checks: Entry, verdict: Verdict = "invalid", **fields: Any) -> Result:
    return Result(
        **{
            "target": "pools:make",
            "verdict": verdict,
            "seed": 1,
            "environment": {},
            "checks": checks,
            "crash_points": CrashPoints(),
            "faults": (),
            "run": "r1",
            "directory": "/runs/r1",
            "seconds": 12.3,
            **fields,
        }
    )


def shown(of: Result, width: int = PLAIN_WIDTH) -> str:
    """The report on something that is no terminal."""
    file = io.StringIO()
    show(of, Console(file=file, width=width, highlight=False, soft_wrap=True))
    return file.getvalue()


def coloured(of: Result) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=PLAIN_WIDTH,
        highlight=False,
        soft_wrap=True,
        force_terminal=True,
        color_system="truecolor",
    )
    show(of, console)
    return file.getvalue()


def lines(of: Result, width: int = PLAIN_WIDTH) -> list[str]:
    return [line.rstrip() for line in shown(of, width).splitlines() if line.strip()]


def test_a_violation_is_told_with_all_that_belongs_to_it() -> None:
    told = lines(result(FULL))

    assert told[:10] == [
        "BROKEN  unresolved-job  under kill-busy: a caller waits for ever",
        "  accepted: known since 2014",
        "  seen in 2 of 3 trials; the same trials also broke shutdown-hang, leak",
        "  at " + ", ".join(f"pool.py:{n}" for n in range(0, 16, 2)) + " and 12 more",
        *(f"  - evidence number {n}" for n in range(4)),
        "         0.000  event 0",
        "         1.000  event 1",
    ]
    assert told[22] == "  replay: poolproof replay /runs/r1/plans/unresolved-job.json"


def test_a_bare_violation_takes_two_lines() -> None:
    told = lines(result(entry()))

    assert told[:2] == [
        "BROKEN  unresolved-job  under kill-busy: a caller waits for ever",
        "  seen in 2 of 3 trials",
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_a_violation_takes_at_most_twenty_five_lines(width: int) -> None:
    before, after = shown(result(), width), shown(result(FULL), width)

    assert len(after.splitlines()) - len(before.splitlines()) <= MOST_LINES_OF_A_VIOLATION


def test_at_most_ten_stories_are_told_and_the_rest_is_counted() -> None:
    told = shown(result(*(entry(fault=f"fault-{n}") for n in range(MOST_STORIES + 3))))

    assert told.count("BROKEN") == MOST_STORIES == 10
    assert "and 3 more violations, in /runs/r1/result.json" in told
    assert "13 broken promises" in told


def test_exactly_ten_leave_nothing_to_count() -> None:
    assert "more violations" not in shown(result(*(entry() for _ in range(MOST_STORIES))))


@pytest.mark.parametrize("verdict", [*STYLES])
def test_every_verdict_of_a_row_is_a_word(verdict: Any) -> None:
    row = FaultRow(fault="kill-all", does="SIGKILL of all", verdict=verdict, trials=3, note="why")
    told = lines(result(faults=(row,)))

    assert re.fullmatch(rf"kill-all +{verdict} +3 +SIGKILL of all: why", told[1])


def test_a_row_without_trials_or_note_leaves_them_out() -> None:
    row = FaultRow(fault="kill-all", does="SIGKILL of all", verdict="not tried")

    assert re.fullmatch(r"kill-all +not tried +SIGKILL of all", lines(result(faults=(row,)))[1])


@pytest.mark.parametrize(
    ("checks", "verdict", "words"),
    [
        ((), "valid", "VALID  pools:make: 0 broken promises; 12 s; everything in /runs/r1"),
        ((entry(),), "invalid", "INVALID  pools:make: 1 broken promise; 12 s;"),
        (
            (entry(), entry(accepted="known")),
            "invalid",
            "INVALID  pools:make: 1 broken promise, 1 accepted; 12 s;",
        ),
        (
            (entry("unknown"),),
            "unknown",
            "UNKNOWN  pools:make: 0 broken promises, 1 unknown; 12 s;",
        ),
        ((entry("by contract"),), "by contract", "BY CONTRACT  pools:make: 0 broken promises;"),
    ],
)
def test_the_verdict_is_said_with_its_numbers(
    checks: tuple[Entry, ...], verdict: Verdict, words: str
) -> None:
    assert words in shown(result(*checks, verdict=verdict))


def test_what_is_unknown_is_told_with_its_reason() -> None:
    told = lines(result(entry("unknown", reason="no receipt"), verdict="unknown"))

    assert told[-1] == "  unknown: unresolved-job under kill-busy: no receipt"


def test_what_is_by_contract_quotes_the_declaration() -> None:
    contract = entry("by contract", reason='fresh jobs raise; declared: "stays broken"')

    assert (
        'by contract: unresolved-job, kill-busy: fresh jobs raise; declared: "stays broken"'
        in lines(result(contract))
    )


def test_what_is_claimed_stands_beside_what_is_kept() -> None:
    rows = [line.split() for line in shown(result(entry(), promises={"retries": 0})).splitlines()]

    assert ["promise", "claimed", "kept", "broken", "under"] in rows
    assert ["unresolved-job", "of", "every", "pool", "NO", "kill-busy"] in rows
    assert ["retries", "declared:", "retries=0", "nothing", "to", "tell"] in rows
    assert not any(row[:1] == ["at-most-once"] for row in rows), "nobody claims it"


def test_what_is_valid_or_cannot_apply_has_no_story() -> None:
    quiet = result(entry("valid"), entry("not applicable"), verdict="valid")

    assert "BROKEN" not in shown(quiet)


def test_crash_points_are_counted_by_their_class() -> None:
    endings: list[Ending] = ["lost", "lost", "not_tried"]
    points = [
        Point(file="p", line=n, function="f", effect="kill", ending=ending)
        for n, ending in enumerate(endings)
    ]
    table = counted(points, seconds=4.2, own=("pools", "queues"))
    (told,) = (line for line in lines(result(crash_points=table)) if "crash points" in line)

    assert told == (
        "crash points: 3 in pools, queues, 4.2 s: 0 survived, 0 reported, 2 lost, 0 stopped, "
        "0 slow, 0 duplicated, 0 unreached, 1 not tried"
    )


def test_without_crash_points_nothing_is_said_of_them() -> None:
    assert "crash points" not in shown(result())


ODD = "value [1, 2] of list[int] [/b] [red]x[/red] [/runs/r1] :bomb:"


def test_brackets_are_text_wherever_they_come_from() -> None:
    odd = result(
        entry(reason=ODD, evidence=(ODD,), story=(ODD,), accepted=ODD, replay=ODD),
        entry("by contract", reason=ODD),
        entry("unknown", reason=ODD),
        *(entry() for _ in range(MOST_STORIES)),
        target=ODD,
        directory=ODD,
        faults=(FaultRow(fault="f[b]", does="does", verdict="invalid", note=ODD),),
        crash_points=counted(
            [Point(file="p", line=1, function="f", effect="kill", ending="lost")],
            seconds=1,
            own=(ODD,),
        ),
    )
    told = shown(odd)

    assert told.count(ODD) == 12
    assert "f[b]" in told


EVERY = result(
    FULL,
    entry("by contract"),
    entry("unknown"),
    faults=tuple(FaultRow(fault=f"f-{v}", does="d", verdict=v) for v in ("invalid", "valid")),
)


def test_colour_only_repeats_what_the_words_say() -> None:
    seen = coloured(EVERY)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", seen)

    assert "\x1b[" in seen
    assert bare == shown(EVERY)


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_the_width_and_loses_no_word(width: int) -> None:
    note = "one worker alone has no healthy neighbour; use --workers 2 or more"
    row = FaultRow(
        fault="exception-unpicklable",
        does="SIGSTOP of a worker that runs a job, SIGCONT later",
        verdict="not applicable",
        note=note,
    )
    told = lines(result(faults=(row,)), width)[:-1]

    assert max(map(len, told)) <= width
    words = " ".join(" ".join(told).split())
    assert all(word in words for word in f"{row.fault} not applicable {row.does} {note}".split())


def test_where_there_is_no_terminal_it_is_wide_enough_for_the_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = FaultRow(fault="kill-all", does="x" * 100, verdict="valid")
    show(result(faults=(row,)))

    assert "x" * 100 in capsys.readouterr().out
    assert terminal.plain_console().width == PLAIN_WIDTH
