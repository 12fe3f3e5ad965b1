"""Plays supervision scenarios on Erlang/OTP's own supervisor, and records what happens.

Needs `erl` on the path, nothing else. `python scripts/record_otp.py` plays the scenarios of the
recordings file, which the unit tests replay, and writes what happened there; each carries the OTP
version and the hash of the Erlang script that made it.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_suffix(".erl")
RECORDINGS = (
    Path(__file__).parents[1] / "tests" / "unit" / "supervision" / "recordings" / "otp.json"
)

_ATOMS = re.compile(r"[a-z][a-z_]*")


def script_sha256() -> str:
    """Return the hash of the script that plays the scenarios."""
    return hashlib.sha256(SCRIPT.read_bytes()).hexdigest()


def available() -> bool:
    """Return whether Erlang is installed here."""
    return shutil.which("erl") is not None


def record(scenarios: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Play all scenarios side by side in one Erlang; return them with their events and origin."""
    lines = [
        f"{{{number}, {_tree(one['tree'])}, {_script(one['script'])}}}.\n"
        for number, one in enumerate(scenarios)
    ]
    with tempfile.TemporaryDirectory() as place:
        compiled = ["erl", "+S", "1", "-noshell", "-eval", _COMPILE, "-extra", str(SCRIPT), place]
        subprocess.run(  # noqa: S603 (our own script)
            compiled, check=True, capture_output=True, timeout=120
        )
        command = ["erl", "+S", "1", "-noshell", "-pa", place, "-s", "record_otp", "main"]
        done = subprocess.run(  # noqa: S603 (as above)
            command, input="".join(lines), check=True, capture_output=True, text=True, timeout=600
        )
    version, *played = [json.loads(line) for line in done.stdout.splitlines()]
    events = {one["key"]: one["events"] for one in played}
    if len(events) != len(scenarios):
        raise RuntimeError(
            f"expected {len(scenarios)} results, got {len(events)}: {done.stdout[-500:]}"
        )
    origin = {**version, "script_sha256": script_sha256()}
    return [{**one, **origin, "events": events[number]} for number, one in enumerate(scenarios)]


_COMPILE = """
    [Script, Place] = init:get_plain_arguments(),
    {ok, _} = compile:file(Script, [{outdir, Place}, return_errors]),
    halt().
"""


def _tree(tree: dict[str, Any]) -> str:
    names = {
        "strategy": "strategy",
        "max_restarts": "intensity",
        "max_seconds": "period",
        "auto_shutdown": None,
    }
    flags = {erlang or name: tree[name] for name, erlang in names.items() if name in tree}
    children = ", ".join(_child(child) for child in tree["children"])
    return f"#{{flags => {_map(flags)}, children => [{children}]}}"


def _child(child: dict[str, Any]) -> str:
    parts = [f"id => {_text(child['id'])}"]
    parts += [
        f"{name} => {_term(child[name])}"
        for name in ("restart", "shutdown", "significant")
        if name in child
    ]
    if "tree" in child:
        return f"#{{{', '.join([*parts, 'tree => ' + _tree(child['tree'])])}}}"
    behaviour = child.get("behaviour", "trap")
    if isinstance(behaviour, list):
        behaviour = f"{{{behaviour[0]}, {_reason(behaviour[1])}}}"
    starts = f"[{', '.join(child.get('starts', []))}]"
    return f"#{{{', '.join([*parts, f'behaviour => {behaviour}', f'starts => {starts}'])}}}"


def _script(steps: list[Any]) -> str:
    return f"[{', '.join(_step(step) for step in steps)}]"


def _step(step: list[Any]) -> str:
    match step:
        case ["wait", milliseconds]:
            return f"{{wait, {milliseconds}}}"
        case ["exit", name, reason]:
            return f"{{exit, {_text(name)}, {_reason(reason)}}}"
        case ["parent_exit", reason]:
            return f"{{parent_exit, {_reason(reason)}}}"
        case ["queued", name, steps]:
            return f"{{queued, {_text(name)}, {_script(steps)}}}"
        case ["start", name, child]:
            return f"{{start, {_text(name)}, {_child(child)}}}"
        case [name, *ids]:
            return f"{{{name}, {', '.join(_text(one) for one in ids)}}}"
        case _:
            raise ValueError(f"expected a step of a script, got {step!r}")


def _reason(reason: str | int) -> str:
    if isinstance(reason, str) and (term := re.fullmatch(r"shutdown\((\w+)\)", reason)):
        return f"{{shutdown, {term[1]}}}"
    return _term(reason)


def _map(fields: dict[str, Any]) -> str:
    return f"#{{{', '.join(f'{name} => {_term(value)}' for name, value in fields.items())}}}"


def _term(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or _ATOMS.fullmatch(value):
        return str(value)
    raise ValueError(f"expected a number, a truth value or an atom's name, got {value!r}")


def _text(value: str) -> str:
    return f'<<"{value}">>'


def main() -> int:
    """Record all scenarios of the recordings file anew; a new one needs name, rule, tree and script there."""
    if not available():
        print("expected `erl` on the path, got none; erlang-base is enough", file=sys.stderr)
        return 2
    kept = ("name", "rule", "tree", "script")
    scenarios = [
        {field: one[field] for field in kept} for one in json.loads(RECORDINGS.read_text())
    ]
    recorded = record(scenarios)
    RECORDINGS.write_text("[\n" + ",\n".join(json.dumps(one) for one in recorded) + "\n]\n")
    print(f"{len(recorded)} scenarios recorded from OTP {recorded[0]['otp']} in {RECORDINGS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
