"""The page of a run: one file that needs nothing else, says everything in words, too, and says what it leaves out."""

import html.parser
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from poolproof.chaos.result import CrashPoints, Entry, FaultRow, PointEntry, Result
from poolproof.chaos.saved import Run, open_run
from poolproof.checkers import Trial
from poolproof.report import html as report
from poolproof.report import overview
from tests.unit.checkers.histories import ONE, History, warm
from tests.unit.report.runs import FAULT, kept, lost, save, trial, write

pytestmark = pytest.mark.unit

TEMPLATES: Final = Path(report.__file__).parent / "templates"
HOSTILE: Final = "</script><script>alert(1)</script>&<b>"
VOID: Final = {"meta", "link", "br", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """What stands on a page: its elements, ids, links, and the text of each table cell and badge."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.said: dict[int, str] = {}
        self.open: list[int] = []
        self.unclosed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        found = self.elements[self.open.pop()][0]
        if found != tag:
            self.unclosed.append(f"{found} closed by {tag}")

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.said[index] = self.said.get(index, "") + data

    def of(self, name: str) -> list[str]:
        """Return the values of an attribute."""
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    def texts(self, name: str) -> list[str]:
        """Return the text of each element that has this class."""
        return [
            self.said.get(index, "").strip()
            for index, (_, attributes) in enumerate(self.elements)
            if name in attributes.get("class", "").split()
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return save(tmp_path_factory.mktemp("run"), lost(), lost())


@pytest.fixture(scope="module")
def text(run: Run) -> str:
    return report.page(run)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_needs_no_network_and_no_other_file(page: Page) -> None:
    assert not [value for name in ("src", "srcset", "data") for value in page.of(name)]
    assert all(value.startswith("#") for value in page.of("href"))
    assert "default-src 'none'" in page.of("content")[2]
    for name in ("style.css", "page.js", "timeline.js"):
        source = (TEMPLATES / name).read_text()
        assert not re.search(r"@import|url\(http|fetch\(|XMLHttpRequest|import\(", source)


def test_the_page_is_well_formed(page: Page) -> None:
    ids = page.of("id")

    assert page.open == []
    assert page.unclosed == []
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.of("href")} <= set(ids)
    assert {name for value in page.of("aria-labelledby") for name in value.split()} <= set(ids)


def test_headings_skip_no_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]

    assert levels[0] == 1
    assert all(
        later - earlier <= 1 for earlier, later in pairwise(levels) if earlier != 2 or later != 4
    )


def test_every_verdict_is_a_word_and_a_sign_beside_its_colour(page: Page) -> None:
    cells = [text for text in page.texts("cell") if text]

    assert len(cells) > 20
    assert all(set(text) & set("".join(overview.SIGNS.values())) for text in cells)
    told = page.texts("unseen")
    assert {"valid", "invalid"} <= {text.partition(":")[0] for text in told}


def test_every_tried_line_has_a_letter_and_words(page: Page) -> None:
    lines = [text for text in page.texts("line") if "answer = job()" in text]

    assert lines == ["L2    answer = job()kill: lost: a caller waits for ever"]
    assert len(set(overview.LETTERS.values())) == len(overview.LETTERS) == len(overview.MEANINGS)


def test_scrolling_regions_can_be_reached_by_keyboard(page: Page) -> None:
    for _, attributes in page.elements:
        if attributes.get("class") in ("scroll", "code", "story"):
            assert attributes["tabindex"] == "0"


def test_a_violation_has_its_story_its_replay_and_its_drawings(page: Page, run: Run) -> None:
    (row,) = (e for e in run.result.checks if e.verdict == "invalid")

    assert row.replay
    assert row.replay in "".join(page.said.values())
    assert page.texts("story")[0].splitlines() == list("\n".join(row.story).strip().splitlines())
    views = [msgspec.json.decode(value) for value in page.of("data-trials")]
    assert views[0][0][0] == "trials/0003"
    assert any(name == "trials/0001" for view in views for name, _ in view)


def drawings(text: str) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="timelines">(.*?)</script>', text, re.DOTALL
    )
    assert found
    data: dict[str, Any] = msgspec.json.decode(found[1])
    return data


def test_the_drawings_are_on_the_page(text: str) -> None:
    assert set(drawings(text)) == {"trials/0001", "trials/0002", "trials/0003"}


def test_receipts_are_shown_or_missed(page: Page, tmp_path: Path) -> None:
    assert any("gone from /proc" in text for text in page.said.values())
    unproven = warm(FAULT).submit(3, role="faulted").inject(ONE).heal().ran(3).ok(3).stop()

    assert "no receipt: nothing is proved" in report.page(save(tmp_path, unproven))


def test_what_others_wrote_is_text_and_no_markup(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost(), target=HOSTILE)
    (tmp_path / "sources" / "pool.py").write_text(f"x\n{HOSTILE}\n")
    (tmp_path / "trials" / "0003" / "output.log").write_text(HOSTILE)
    history = lost()
    history.write("phase", data={"phase": HOSTILE})
    write(tmp_path / "trials" / "0003", history.plan, history)
    text = report.page(run)

    assert "alert(1)</script>" not in text
    assert text.count("<script") == 3
    assert HOSTILE in str(drawings(text)["trials/0003"]["marks"])


def test_what_finds_no_room_is_left_out_and_said(run: Run, text: str) -> None:
    small = report.page(run, most_bytes=len(text.encode()) - 1_000)

    assert "<b>Truncated.</b>" in small
    assert "<b>Truncated.</b>" not in text
    left_out = re.findall(r"timelines found no room: ([^.]*)", small)[0].split(", ")
    assert set(left_out) | set(drawings(small)) == set(drawings(text))
    assert len(small.encode()) < len(text.encode())


def big(jobs: int) -> History:
    history = warm(FAULT).submit(3, role="faulted").begun(3).hit(ONE).death(ONE)
    return history.done(*range(4, jobs + 1), pid=202, role="fresh")


class Held(Run):
    """A run whose only trial was saved nowhere."""

    def __init__(self, history: History, result: Result) -> None:
        super().__init__(Path("nowhere"), result)
        self.held = trial(history)

    def trial(self, name: str) -> Trial:  # noqa: ARG002 - it has but one
        return self.held


def test_ten_thousand_operations_are_at_most_two_megabytes() -> None:
    row = FaultRow(fault=FAULT, does="SIGKILL", verdict="valid", histories=("trials/0001",))
    text = report.page(Held(big(10_000), bare(faults=(row,))))
    (drawing,) = drawings(text).values()

    assert len(text.encode()) <= report.MOST_BYTES
    assert (drawing["total"], len(drawing["jobs"])) == (10_000, 10_000)


def test_a_page_that_would_be_too_big_leaves_source_out_too(tmp_path: Path) -> None:
    points = tuple(
        PointEntry(file="pool.py", line=line, function="work", effect="kill", ending="lost")
        for line in range(1, 3000)
    )
    run = Run(tmp_path, bare(crash_points=CrashPoints(total=len(points), points=points)))
    text = report.page(run, most_bytes=200_000)

    assert len(text.encode()) <= 200_000
    assert "the source of 1 files with crash points found no room" in text


def bare(**fields: Any) -> Result:
    return Result(
        **{
            "target": "pkg:make",
            "verdict": "valid",
            "seed": 1,
            "environment": {},
            "checks": (),
            "crash_points": CrashPoints(),
            "faults": (),
            "run": "r",
            "directory": "/r",
            "seconds": 1,
            **fields,
        }
    )


def test_a_run_with_nothing_in_it_is_a_page_too(tmp_path: Path) -> None:
    page = Page(report.page(Run(tmp_path, bare())))

    assert page.open == []
    assert "No history of this run was kept." in "".join(page.said.values())


def test_a_run_whose_histories_are_gone_is_a_page_too(tmp_path: Path) -> None:
    save(tmp_path, lost(), lost())
    for directory in (tmp_path / "trials").iterdir():
        (directory / "history.jsonl").unlink()
    text = report.page(open_run(tmp_path))

    assert drawings(text) == {}
    assert "Its timelines found no room" in text


def test_what_follows_from_a_violation_is_marked_so() -> None:
    rows = (
        Entry(
            invariant="no-recovery",
            verdict="invalid",
            fault=FAULT,
            effect="x",
            also=("leak",),
            story=("a",),
        ),
        Entry(invariant="leak", verdict="valid", fault=FAULT),
    )
    faults = (FaultRow(fault=FAULT, does="SIGKILL", verdict="invalid"),)
    found = overview.matrix(bare(checks=rows, faults=faults))
    ((_, _, whole, cells),) = found.rows

    assert [cell.verdict for cell in (whole, *cells)] == ["invalid", "invalid", "also"]
    assert cells[1].anchor == cells[0].anchor == "no-recovery-kill-busy-x"


def test_the_cuts_of_a_plan_are_told(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())
    small = warm(FAULT, warmup=1, bystanders=0).submit(3, role="faulted").hit(ONE)
    write(tmp_path / "trials" / "0009", small.plan, small)
    entry = Entry(
        invariant="leak",
        verdict="invalid",
        fault=FAULT,
        trial="trials/0009",
        original="trials/0003",
    )

    assert overview.sizes(run, entry) == [("warmup", 4, 1), ("bystanders", 2, 0)]


def test_the_page_goes_where_it_is_wanted(tmp_path: Path) -> None:
    run = save(tmp_path / "run", kept())

    assert report.write(run) == tmp_path / "run" / "report.html"
    assert report.write(run, tmp_path / "mine.html").read_text().startswith("<!DOCTYPE html>")


# Contrast, as WCAG 2.2 computes it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio


def colours(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "style.css").read_text(), re.DOTALL)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,8})", blocks[scheme == "dark"]))


def luminance(colour: str) -> float:
    digits = colour[1:7] if len(colour) > 4 else "".join(c * 2 for c in colour[1:4])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


TEXTS: Final = [
    *[(name, back) for name in ("text", "soft", "link") for back in ("back", "raised")],
    *[(name, f"{name}-back") for name in ("ok", "bad", "warn", "info", "none", "violet")],
    *[(name, back) for name in ("ok", "bad", "warn") for back in ("back", "raised")],
    *[("text", f"{name}-back") for name in ("ok", "bad", "warn", "info", "none", "violet")],
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(scheme: str) -> None:
    palette = colours(scheme)
    weak = {
        f"{text} on {back}": round(ratio, 2)
        for text, back in TEXTS
        if (ratio := contrast(palette[text], palette[back])) < 4.5
    }
    white = {
        bar: round(ratio, 2)
        for bar in ("bar-ok", "bar-bad", "bar-info")
        if (ratio := contrast("#fff", palette[bar])) < 4.5
    }

    assert (weak, white) == ({}, {})
    assert contrast("#14171a", palette["bar-warn"]) >= 4.5
    assert all(
        contrast(palette[bar], palette["back"]) >= 3 for bar in ("bar-ok", "bar-bad", "bar-info")
    )


def test_both_schemes_have_the_same_names() -> None:
    assert colours("light").keys() == colours("dark").keys()
    assert contrast("#fff", "#000") == pytest.approx(21)
