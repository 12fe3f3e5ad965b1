"""`poolproof campaign TARGET`: thousands of seeds, resumable; failures grouped, each cut once; coverage on screen."""

import argparse
import contextlib
import importlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.campaign.executors import Executor, Futures, LocalProcesses
from poolproof.campaign.kept import RESULT
from poolproof.campaign.result import CampaignResult
from poolproof.campaign.running import Options, run_campaign
from poolproof.chaos.crashpoints import Effect
from poolproof.cli import check, session, targeting
from poolproof.errors import UsageError
from poolproof.report import campaign as report

HELP: Final = "play thousands of seeds against a worker pool, and tell each distinct failure once"
EFFECTS: Final[dict[str, tuple[Effect, ...]]] = {
    "off": (),
    "kill": ("kill",),
    "all": ("kill", "raise", "hang"),
}


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("campaign", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    targeting.add_target(parser)
    add = parser.add_argument
    add("--seeds", type=int, default=200, metavar="N", help="how many (default 200)")
    add("--first", type=int, default=0, metavar="SEED", help="the first of them (default 0)")
    add("--jobs", type=int, metavar="J", help="how many hosts play at once (default: one a core)")
    add("--time", type=float, metavar="SECONDS", help="bound of this run (default: none)")
    check.add_breaking(parser)
    add(
        "--executor",
        metavar="MODULE:FACTORY",
        help="who plays: what makes a concurrent.futures.Executor, of a cluster, say (default: processes here)",
    )
    session.add_results(
        parser,
        kept="where the campaign is kept (default .poolproof/campaigns/TARGET); given again, it goes on there",
    )
    add("--null", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the campaign, print its report, and return the exit code of its verdict."""
    targeting.at_least("--seeds", arguments.seeds, 1)
    targeting.at_least("--jobs", arguments.jobs, 1)
    targeting.at_least("--time", arguments.time, 1)
    target = check.named_target(arguments)
    executor = _executor(arguments.executor)
    session.writable_file(arguments.json)
    session.require_linux()
    out = session.writable(arguments.out or Path(".poolproof", "campaigns", _slug(target.name)))
    options = Options(
        target=target,
        faults=check.faults(arguments.faults),
        effects=EFFECTS[arguments.crash_points],
        first=arguments.first,
        seeds=arguments.seeds,
        jobs=arguments.jobs or max(1, os.cpu_count() or 1),
        seconds=arguments.time,
        directory=out,
        null=arguments.null,
    )
    last = options.first + options.seeds - 1
    print(f"seeds {options.first} to {last}   target {target.name}   kept in {out}", flush=True)
    with contextlib.closing(executor), report.watching() as watcher:
        result = session.run(run_campaign(options, executor, watcher))
    _save(result, out, arguments.json)
    report.show(result)
    return check.EXIT[result.verdict]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")


def _executor(named: str | None) -> Executor:
    """Return who plays; raise UsageError where it is no executor."""
    if named is None:
        return LocalProcesses()
    module, _, factory = named.partition(":")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except Exception as error:
        raise UsageError(
            f"expected module:factory for --executor, got {named!r}: {error}"
        ) from error
    if not (hasattr(made, "submit") and hasattr(made, "shutdown")):
        raise UsageError(
            f"expected {named} to make an executor with `submit` and `shutdown`, got a {type(made).__name__}"
        )
    return Futures(made)


def _save(result: CampaignResult, out: Path, json: Path | None) -> None:
    data = msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
    (out / RESULT).write_bytes(data)
    if json is not None:
        json.write_bytes(data)
