"""Makes a page of what performance tests measured, compared with a baseline, with a picture.

    python scripts/performance_report.py RESULT.json [--baseline FILE] [--out DIR] [--effect PERCENT]

A change counts from 20 % on. On a machine that is not the baseline's, multiples of the calibration are compared, and it
counts from a factor of 3 on: the calibration carries no further. Exit code: 1 if a measure is slower than the baseline
by more than that, of which the interval leaves no doubt; else 0. What is not certain is told, and is no regression.
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Final

import msgspec

from poolproof import baseline, fingerprint
from poolproof.baseline import Baseline, Change
from poolproof.bench.result import BenchResult
from poolproof.report import bench as report
from poolproof.report import pictures

ALIKE: Final = 20.0
# Nearly the same code took 0.37 to 0.85 of the multiples on a Xeon that it had taken on an EPYC, by measure; the other
# way round it would be 1.2 to 2.7.
UNLIKE: Final = 200.0


def main() -> int:
    """Write the page; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--baseline", type=Path, default=Path("docs/baselines/layers.json"))
    parser.add_argument("--out", type=Path, default=Path(".poolproof/performance"))
    parser.add_argument("--effect", type=float)
    arguments = parser.parse_args()
    result = baseline.read_results([arguments.result])
    old = baseline.load(arguments.baseline.stem, arguments.baseline.parent)
    unlike = fingerprint.differences(old.result.fingerprint, result.fingerprint)
    usual = UNLIKE if unlike else ALIKE
    effect = usual if arguments.effect is None else arguments.effect
    changes = baseline.compare(old, result, calibrated=bool(unlike), effect=effect / 100)
    arguments.out.mkdir(parents=True, exist_ok=True)
    page = _page(old, result, changes, unlike, effect)
    if pictures.available():
        _draw(changes, arguments.out / "changes.png")
        page.append("\n![ratio to the baseline, with its interval](changes.png)")
    (arguments.out / "report.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    (arguments.out / "changes.json").write_bytes(msgspec.json.encode(changes))
    print("\n".join(page))
    slower = [change for change in changes if change.comparison.verdict == "slower"]
    return 1 if slower else 0


def _page(
    old: Baseline, new: BenchResult, changes: list[Change], unlike: list[str], effect: float
) -> list[str]:
    facts = new.fingerprint
    how = f"another machine ({'; '.join(unlike)}), so by calibration" if unlike else "times"
    lines = [
        "# Performance",
        "",
        f"Against {old.name} of {old.saved_at}: {how}; a change counts from {effect:g} % on.",
        (
            f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']};"
            f" load of the machine {new.load_before:.1f} to {new.load_after:.1f}."
        ),
        *(
            f"Then and now: {one}."
            for one in fingerprint.differences(old.result.fingerprint, facts, fingerprint.TOLD)
        ),
        "",
        "| measure | median | ratio | interval | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    medians = {one.name: (statistics.median(one.samples), one.unit) for one in new.measures}
    for change in changes:
        found = change.comparison
        cells = [
            change.measure,
            report.shown(*medians[change.measure]),
            f"{found.ratio:.3f}",
            f"{found.low:.3f} to {found.high:.3f}",
            f"{found.verdict} {f'({change.note})' if change.note else ''}".strip(),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _draw(changes: list[Change], path: Path) -> None:
    rows = [
        (c.measure.rpartition("::")[2], c.comparison.low, c.comparison.ratio, c.comparison.high)
        for c in changes
    ]
    pictures.intervals(rows, path, across="time now / time then")


if __name__ == "__main__":
    sys.exit(main())
