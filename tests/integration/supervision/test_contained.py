"""Operating-system children end with their supervisor or interpreter, and leave nothing."""

# ruff: noqa: ASYNC110, ASYNC240 -- /proc and small files do not block, and processes set no event

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from poolproof.supervision import (
    KILL,
    ChildSpec,
    OsProcess,
    StartError,
    Supervisor,
    SupervisorSpec,
    TreeEvent,
    monitor,
    os_process,
    running,
    start_supervisor,
)
from poolproof.supervision.containment import forge
from poolproof.supervision.guardian import carriers, tokens_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]

PATIENCE_SECONDS = 20.0

# Its grandchild leaves the session: neither its group nor the parent-death signal reaches it.
FAMILY = ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]


def spec(*commands: list[str], **fields: Any) -> SupervisorSpec:
    children = [
        ChildSpec(id=f"p{i}", start=os_process(argv), **fields) for i, argv in enumerate(commands)
    ]
    return SupervisorSpec(children=children, max_restarts=1000)


async def processes(supervisor: Supervisor) -> list[OsProcess]:
    found = [info.process for info in reversed(await supervisor.which_children())]
    return [process for process in found if isinstance(process, OsProcess)]


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact that only the operating system can tell."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fact():
            await asyncio.sleep(0.002)


def with_events(body: Callable[[list[TreeEvent]], Awaitable[Any]]) -> Any:
    events: list[TreeEvent] = []

    async def main() -> Any:
        return await body(events)

    return asyncio.run(main())


def tokens(process: OsProcess) -> list[str]:
    return tokens_of(process.pid)


def test_killed_process_is_restarted_and_its_family_is_gone() -> None:
    async def body(events: list[TreeEvent]) -> None:
        async with running(spec(FAMILY), sink=events.append) as supervisor:
            (process,) = await processes(supervisor)
            token = tokens(process)[-1]
            await until(lambda: len(carriers(token)) == 2)
            os.kill(process.pid, signal.SIGKILL)
            await monitor(process)
            assert carriers(token) == []
            await until(lambda: sum(event.name == "progress" for event in events) == 2)
            (again,) = await processes(supervisor)
            assert again.pid != process.pid

    with_events(body)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["true"], "normal"),
        (["sh", "-c", "exit 3"], "error(exit status 3)"),
        (["sh", "-c", "kill -SEGV $$"], "error(signal SIGSEGV)"),
        (["sh", "-c", "kill -KILL $$"], "killed"),
    ],
)
def test_exit_status_becomes_the_reason(command: list[str], reason: str) -> None:
    async def body(events: list[TreeEvent]) -> str:
        async with running(spec(command, restart="temporary"), sink=events.append):
            await until(lambda: len(events) >= 3)
        return str(
            next(event.reason for event in events if event.name in {"exited", "child_terminated"})
        )

    assert with_events(body) == reason


def test_stop_asks_before_it_kills() -> None:
    """One that ends at SIGTERM, and one that ignores it."""
    deaf = ["sh", "-c", "trap '' TERM; echo; while :; do sleep 1000; done"]

    async def body(events: list[TreeEvent]) -> list[Any]:
        reader, writer = os.pipe()
        children = [
            ChildSpec(id="polite", start=os_process(["sleep", "1000"])),
            ChildSpec(id="deaf", start=os_process(deaf, stdout=writer), shutdown=0.1),
        ]
        async with running(SupervisorSpec(children=children), sink=events.append):
            os.close(writer)
            assert os.read(reader, 1) == b"\n"
        os.close(reader)
        return [(event.name, event.offender.id) for event in events if event.offender][2:]

    assert with_events(body) == [
        ("shutdown_overrun", "deaf"),
        ("shutdown_error", "deaf"),
        ("exited", "polite"),
    ]


def test_killed_supervisor_takes_its_processes_along() -> None:
    async def body(_: list[TreeEvent]) -> None:
        supervisor = await start_supervisor(spec(FAMILY, ["sleep", "1000"], shutdown="infinity"))
        all_tokens = [tokens(process)[-1] for process in await processes(supervisor)]
        supervisor.exit(KILL)
        await until(lambda: not any(carriers(token) for token in all_tokens))

    with_events(body)


def test_command_that_does_not_exist_is_a_failed_start() -> None:
    async def body(_: list[TreeEvent]) -> None:
        with pytest.raises(StartError, match=r"FileNotFoundError"):
            await start_supervisor(spec(["/nowhere/at/all"]))

    with_events(body)


def test_guardian_lives_only_while_there_is_something_to_guard() -> None:
    async def body(_: list[TreeEvent]) -> None:
        async with running(spec(["sleep", "1000"])):
            guarding = forge().guardian_pid
            assert guarding is not None
            assert Path(f"/proc/{guarding}").exists()
        assert forge().guardian_pid is None
        assert not Path(f"/proc/{guarding}").exists()

    with_events(body)


def test_processes_outlive_the_thread_whose_loop_started_them() -> None:
    """The parent-death signal fires when the forking thread ends.

    That thread must not be the loop's.
    """
    seen: list[int] = []

    async def starts() -> None:
        supervisor = await start_supervisor(spec(["sleep", "1000"]))
        seen.extend(process.pid for process in await processes(supervisor))
        again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, again.set_result, None)
        await again
        alive = [Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in seen]
        await supervisor.stop()
        seen.extend(state != "Z" for state in alive)

    async def main() -> None:
        # Each short thread could have forked; were it the one, its end would kill the child.
        await asyncio.to_thread(asyncio.run, starts())

    asyncio.run(main())

    assert seen[1:] == [True]


PROGRAM = """
    import asyncio
    from poolproof.supervision import ChildSpec, SupervisorSpec, os_process, start_supervisor
    from poolproof.supervision.guardian import tokens_of

    async def main():
        below = SupervisorSpec(children=[ChildSpec(id="q", start=os_process(["sleep", "1000"]))])
        line = "setsid sleep 1000 & (trap '' TERM; exec sleep 1000) & exec sleep 1000"
        children = [
            ChildSpec(id="p", start=os_process(["sh", "-c", line])),
            ChildSpec(id="s", start=below, type="supervisor"),
        ]
        supervisor = await start_supervisor(SupervisorSpec(children=children))
        first = (await supervisor.which_children())[-1].process
        print(tokens_of(first.pid)[-2], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
def test_killed_interpreter_leaves_nothing(number: int, tmp_path: Path) -> None:
    """Not the children, not their children, not those that left the session, not the guardian."""
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as interpreter:
        try:
            assert interpreter.stdout is not None
            token = interpreter.stdout.readline().strip()
            assert token, "expected the program to print its token, got its end"
            wait_until(lambda: len(carriers(token)) == 4, "the whole family is there")
            interpreter.send_signal(number)
            interpreter.wait(PATIENCE_SECONDS)
        finally:
            interpreter.kill()

    wait_until(lambda: not carriers(token), "no process of the tree is left")
    wait_until(lambda: not guardians(token), "the guardian has ended")


def guardians(token: str) -> list[int]:
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def wait_until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, f"expected within {PATIENCE_SECONDS:g} s that {what}"
        # Between two looks at /proc the machine needs a chance to do what is waited for.
        os.sched_yield()


TWIN = """
    import asyncio, sys
    from poolproof.supervision import ChildSpec, os_process, start_isolated_supervisor

    async def main():
        child = ChildSpec(id="worker", start=os_process(["sleep", "1000"]))
        async with await start_isolated_supervisor([child], max_restarts=0) as tree:
            (info,) = await tree.supervisor.which_children()
            tree.registry.register(tree.name("worker"), info.process)
            print(tree.scope.token, info.process.pid, flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            print(info.process.alive, flush=True)

    asyncio.run(main())
"""


def test_two_invocations_do_not_meet(tmp_path: Path) -> None:
    """The same program twice at the same time: the end of one is nothing to the other."""
    script = tmp_path / "twin.py"
    script.write_text(textwrap.dedent(TWIN))
    pipe = subprocess.PIPE
    twins = [
        subprocess.Popen([sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True)
        for _ in range(2)
    ]
    one, other = twins
    try:
        (one_token, one_pid), (other_token, _) = [line_of(twin).split() for twin in twins]
        one.kill()
        one.wait(PATIENCE_SECONDS)
        wait_until(lambda: has_ended(one_pid), "the first one's child has ended")
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        alive = line_of(other)
    finally:
        for twin in twins:
            twin.kill()
            twin.communicate()

    assert one_token != other_token
    assert alive == "True"


def has_ended(pid: str) -> bool:
    """Tell whether a process is gone, or has ended and was not waited for: its new parent may be this process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_forked_interpreter_has_a_forge_of_its_own() -> None:
    made = forge()
    child = os.fork()
    if child == 0:
        os._exit(0 if forge() is not made and forge().token != made.token else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
