"""`poolproof baseline save|compare|list|change-points|prune`: measurements that are kept, and what became of them."""

import argparse
from pathlib import Path
from typing import Any, Final

from poolproof import baseline, change_points
from poolproof.cli import targeting
from poolproof.comparison import EFFECT
from poolproof.report import baseline as report

HELP: Final = "keep measurements, and compare new ones with them"
EXIT: Final = {"faster": 0, "same": 0, "slower": 1, "inconclusive": 3}


def add_parser(commands: Any) -> None:
    """Add the command's parser, and those of what it does."""
    parser: argparse.ArgumentParser = commands.add_parser("baseline", help=HELP, description=HELP)
    deeds = parser.add_subparsers(title="what to do", metavar="DEED", required=True)
    _add(deeds, "save", "keep a measurement under a name", _save, "name", "result")
    comparing = _add(deeds, "compare", "compare with one that is kept", _compare, "name", "result")
    _add(deeds, "list", "tell which there are", _list)
    says = "tell where in all that is kept a measure changed for good"
    searching = _add(deeds, "change-points", says, _change_points)
    for parser in (comparing, searching):
        _add_how(parser)
    pruning = _add(deeds, "prune", "remove all but the newest", _prune)
    pruning.add_argument("--keep", type=int, default=10, help="how many stay (10)")


def _add(deeds: Any, deed: str, says: str, run: Any, *takes: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = deeds.add_parser(deed, help=says, description=says)
    parser.set_defaults(run=run)
    parser.add_argument("--dir", type=Path, default=baseline.DIRECTORY, help="where they are kept")
    if "name" in takes:
        parser.add_argument("name", help="of the baseline")
    if "result" in takes:
        says = "what `bench --json` or `load --json` wrote; several are put together"
        parser.add_argument("result", type=Path, nargs="+", help=says)
    return parser


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibrated",
        action="store_true",
        help="compare multiples of the calibration, as on another machine",
    )
    parser.add_argument(
        "--effect",
        type=float,
        default=100 * EFFECT,
        metavar="PERCENT",
        help=f"the least change that counts ({100 * EFFECT:g})",
    )


def _save(arguments: argparse.Namespace) -> int:
    result = baseline.read_results(arguments.result)
    print(f"saved {baseline.save(arguments.name, result, arguments.dir)}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    targeting.at_least("--effect", arguments.effect, 0.1)
    old = baseline.load(arguments.name, arguments.dir)
    new = baseline.read_results(arguments.result)
    effect = arguments.effect / 100
    changes = baseline.compare(old, new, calibrated=arguments.calibrated, effect=effect)
    report.show(old, new, changes)
    return EXIT[baseline.worst(changes)]


def _list(arguments: argparse.Namespace) -> int:
    report.show_kept(baseline.kept(arguments.dir))
    return 0


def _change_points(arguments: argparse.Namespace) -> int:
    """Tell what is found; 3 where no measure is kept often enough, so that nothing is known."""
    targeting.at_least("--effect", arguments.effect, 0.1)
    found = change_points.change_points(
        baseline.kept(arguments.dir),
        calibrated=arguments.calibrated,
        effect=arguments.effect / 100,
    )
    print("\n".join(report.change_points(found)))
    return 0 if found.measures else 3


def _prune(arguments: argparse.Namespace) -> int:
    targeting.at_least("--keep", arguments.keep, 0)
    for name in baseline.prune(arguments.keep, arguments.dir):
        print(f"removed {name}")
    return 0
