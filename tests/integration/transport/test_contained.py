"""Whoever is killed, nothing of a worker is left; and what is gone is replaced where somebody can see it."""

# ruff: noqa: ASYNC110, ASYNC221 -- processes set no event, and starting one does not block

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from poolproof.errors import StartFailedError, UsageError
from poolproof.isolation import leases
from poolproof.transport import keeping, targets
from poolproof.transport import process as processes
from poolproof.transport.process import ProcessTransport
from poolproof.transport.stage import Player, Stage
from poolproof.watch import procfs
from tests.integration.transport.family import Hanging, Parent

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.asyncio,
    pytest.mark.usefixtures("unmeasured"),
]
FAMILY = Path(__file__).with_name("family.py")
PATIENCE_SECONDS = 15.0


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if procfs.state(pid) not in {None, "Z", "X"}]


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fact():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def staged(**options: Any) -> AsyncGenerator[tuple[Stage, ProcessTransport, list[str]]]:
    notes: list[str] = []
    transport = ProcessTransport(note=lambda what, _detail: notes.append(what), **options)
    await transport.open()
    try:
        yield Stage(transport), transport, notes
    finally:
        await transport.close()


def keeper(transport: ProcessTransport) -> int:
    assert transport._zygote is not None
    return transport._zygote.pid


def zygote(transport: ProcessTransport) -> int:
    [pid] = procfs.descendants(keeper(transport))[:1]
    return pid


async def test_a_killed_worker_leaves_no_family() -> None:
    async with staged() as (stage, _transport, _notes):
        worker, other = await stage.worker(Parent), await stage.worker(Parent)
        family, spared = await worker.ask(None), await other.ask(None)
        assert worker.link.pid is not None
        os.kill(worker.link.pid, signal.SIGKILL)
        end = await worker.heard.ending()

        assert (end.kind, end.status) == ("signalled", -signal.SIGKILL)
        assert living([worker.link.pid, *family]) == []
        assert living(spared) == spared


async def test_a_worker_that_leaves_leaves_no_family() -> None:
    async with staged() as (stage, _transport, _notes):
        worker = await stage.worker(Parent)
        family = await worker.ask(None)
        await worker.link.terminate(5)

        assert living(family) == []


async def test_close_leaves_nothing() -> None:
    async with staged(spares=1) as (stage, transport, _notes):
        worker = await stage.worker(Parent)
        family = await worker.ask(None)
        assert transport._lease is not None
        top, run = keeper(transport), transport._lease.run
        below = list(procfs.descendants(top))
        await transport.close()

        assert living([top, *below, *family]) == []
        assert not list(leases.home().glob(f"{run}*"))


@pytest.mark.parametrize("who", [zygote, keeper])
async def test_a_killed_zygote_or_keeper_leaves_nothing_and_is_replaced(
    who: Callable[[ProcessTransport], int],
) -> None:
    async with staged(spares=1) as (stage, transport, notes):
        idle, working = await stage.worker(Parent), await stage.worker(targets.Awaiting)
        family = await idle.ask(None)
        hanging, waiting = working.send(["hang"], ["count"])
        await until(lambda: working.link.started() >= hanging)
        below = list(procfs.descendants(keeper(transport)))
        os.kill(who(transport), signal.SIGKILL)
        ends = [await player.heard.ending() for player in (idle, working)]

        assert {end.kind for end in ends} == {"lost"}
        assert (ends[1].begun, ends[1].untouched) == ((hanging,), (waiting,))
        await until(lambda: living([*below, *family]) == [])
        again = await stage.worker(targets.Plain)
        assert await again.ask(["count"]) == 1
        by_chance = ("zygote_left", "spare_failed")  # who dies first, and what was on its way then
        told = [note for note in notes if note not in by_chance]
        assert told[:3] == ["zygote_started", "zygote_lost", "zygote_started"]


async def forked_ahead(transport: ProcessTransport, *workers: Player) -> int:
    """Wait for the worker that the zygote forks while nothing is asked of it; return its pid."""
    known = {player.link.pid for player in workers}
    found: set[int] = set()

    def there() -> bool:
        found.update(set(procfs.descendants(zygote(transport))) - known)
        return len(found) == 1

    await until(there)
    return found.pop()


async def test_the_next_worker_is_forked_ahead() -> None:
    async with staged() as (stage, transport, _notes):
        first = await stage.worker()
        ahead = await forked_ahead(transport, first)
        second = await stage.worker()

        assert (second.link.pid, await second.ask(["pid"])) == (ahead, ahead)
        assert await forked_ahead(transport, first, second) != ahead


async def test_who_was_forked_ahead_and_killed_is_missed_by_nobody() -> None:
    async with staged() as (stage, transport, notes):
        first = await stage.worker()
        ahead = await forked_ahead(transport, first)
        os.kill(ahead, signal.SIGKILL)
        await until(lambda: living([ahead]) == [])
        second = await stage.worker()

        assert await second.ask(["count"]) == 1
        assert await first.ask(["count"]) == 1
        assert notes == ["zygote_started"]


async def test_who_was_forked_ahead_goes_when_another_module_is_imported() -> None:
    async with staged() as (stage, transport, _notes):
        first = await stage.worker(abs)
        ahead = await forked_ahead(transport, first)
        second = await stage.worker(Parent)

        assert second.link.pid != ahead
        await until(lambda: living([ahead]) == [])


async def test_a_zygote_that_dies_of_a_fork_bomb_of_starts_is_replaced_each_time() -> None:
    async with staged() as (stage, transport, notes):
        for round_ in range(3):
            worker = await stage.worker()
            assert await worker.ask(["count"]) == 1
            os.kill(zygote(transport), signal.SIGKILL)
            await worker.heard.ending()
            assert notes.count("zygote_lost") == round_ + 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_controller_leaves_nothing(number: int) -> None:
    controller = await asyncio.create_subprocess_exec(
        sys.executable, str(FAMILY), stdout=asyncio.subprocess.PIPE
    )
    assert controller.stdout is not None
    family = [int(pid) for _ in range(2) for pid in (await controller.stdout.readline()).split()]
    below = list(procfs.descendants(controller.pid))
    assert len(family) == 8
    assert living(family) == family
    controller.send_signal(number)
    await controller.wait()

    await until(lambda: living([*family, *below]) == [])
    leases.reap()  # the claim of the dead, with nothing left to end
    assert not any(lease.pid == controller.pid for lease in leases.abandoned())


async def test_a_worker_whose_zygote_dies_before_it_is_adopted_is_no_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was ready; its pool would wait for it for ever, as nobody would tell its end."""
    known = processes.ProcessLink.known

    async def too_late(link: processes.ProcessLink) -> None:
        link._zygote.kill()
        await link._zygote.gone()
        await known(link)

    async with staged() as (stage, _transport, _notes):
        with monkeypatch.context() as patched:
            patched.setattr(processes.ProcessLink, "known", too_late)
            with pytest.raises(StartFailedError, match="its zygote ended"):
                await stage.worker()

        assert await (await stage.worker()).ask(["count"]) == 1


async def test_a_worker_that_is_stopped_is_ended_all_the_same() -> None:
    async with staged() as (stage, _transport, _notes):
        worker = await stage.worker()
        assert worker.link.pid is not None
        os.kill(worker.link.pid, signal.SIGSTOP)

        assert (await worker.link.terminate(0.05)).kind == "killed"
        assert living([worker.link.pid]) == []


@pytest.mark.parametrize("who", [zygote, keeper])
async def test_a_zygote_or_keeper_that_is_stopped_is_ended_and_replaced(
    who: Callable[[ProcessTransport], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BURY_SECONDS", 0.2)
    monkeypatch.setattr(keeping, "END_SECONDS", 0.2)
    async with staged() as (stage, transport, notes):
        worker, other = await stage.worker(), await stage.worker()
        below = list(procfs.descendants(keeper(transport)))
        os.kill(who(transport), signal.SIGSTOP)
        if who is keeper:
            os.kill(zygote(transport), signal.SIGKILL)
        else:
            worker.kill()
        ends = [await player.heard.ending() for player in (worker, other)]

        assert {end.kind for end in ends} <= {"lost", "killed"}
        await until(lambda: living(below) == [])
        assert await (await stage.worker()).ask(["count"]) == 1
        assert notes.count("zygote_lost") == 1


async def test_a_start_from_a_stopped_zygote_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "BURY_SECONDS", 0.2)
    async with staged() as (stage, transport, _notes):
        await stage.worker()
        os.kill(zygote(transport), signal.SIGSTOP)
        with pytest.raises(StartFailedError):
            await stage.worker(init_seconds=0.1)
        await stage.players[0].heard.ending()

        assert await (await stage.worker()).ask(["count"]) == 1


async def test_who_closes_its_connection_is_ended() -> None:
    async with staged() as (stage, _transport, _notes):
        worker = await stage.worker(Hanging)
        [sent] = worker.send(None)
        end = await worker.heard.ending()

        assert end.status == -signal.SIGKILL
        assert end.begun == (sent,)


async def test_spares_take_over_and_are_made_anew() -> None:
    async with staged(spares=1) as (stage, transport, _notes):
        worker = await stage.worker(targets.Plain)
        spec = worker.link._spec  # type: ignore[attr-defined]
        await until(lambda: len(transport._spares) == 1)
        waiting = transport._spares[0][1]
        heard = worker.heard
        link = await transport.spawn(spec, 1, 8, heard)
        assert link is waiting
        assert (link.number, link.epoch) == (1, 8)
        assert await Player(link, heard).ask(["count"]) == 1
        await until(lambda: len(transport._spares) == 1)
        os.kill(transport._spares[0][1].pid or 0, signal.SIGKILL)
        await until(lambda: not transport._spares[0][1].usable)
        assert (await transport.spawn(spec, 2, 9, heard)) is not waiting


async def test_a_module_that_starts_threads_is_imported_after_the_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threaded_module.py").write_text(
        "import threading\n"
        "stop = threading.Event()\n"
        "threading.Thread(target=stop.wait, daemon=True).start()\n"
        "def handle(request):\n    return threading.active_count()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("threaded_module")
    try:
        async with staged() as (stage, _transport, notes):
            workers = [await stage.worker(module.handle) for _ in range(2)]

            assert [await worker.ask(None) for worker in workers] == [2, 2]
            assert notes.count("imported_late") == 1
    finally:
        module.stop.set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise RuntimeError('no import')", "RuntimeError: no import"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
async def test_a_module_that_cannot_be_imported_there_is_told(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sulky_module.py"
    file.write_text("def handle(request):\n    return request\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("sulky_module")
    monkeypatch.delitem(sys.modules, "sulky_module")
    monkeypatch.setitem(sys.modules, "sulky_module", module)
    file.write_text(text)
    async with staged() as (stage, _transport, _notes):
        with pytest.raises(StartFailedError) as caught:
            await stage.worker(module.handle)

        assert str(caught.value.__cause__) == expected
        assert await (await stage.worker()).ask(["count"]) == 1


async def test_a_module_out_of_the_path_is_loaded_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "somewhere_else.py"
    file.write_text("def handle(request):\n    return __name__\n")
    spec = __import__("importlib.util").util.spec_from_file_location("odd_name", file)
    module = __import__("importlib.util").util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["odd_name"] = module
    try:
        async with staged() as (stage, _transport, _notes):
            assert await (await stage.worker(module.handle)).ask(None) == "odd_name"
    finally:
        del sys.modules["odd_name"]


async def test_what_has_no_name_is_refused() -> None:
    async with staged() as (stage, _transport, _notes):
        with pytest.raises(UsageError, match=r"^expected on the layer full a target at the top"):
            await stage.worker(lambda request: request)


async def test_more_workers_than_there_are_places_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "MOST_WORKERS", 2)
    async with staged() as (stage, _transport, _notes):
        first, _ = await stage.worker(), await stage.worker()
        with pytest.raises(StartFailedError, match=r"^expected at most 2 workers"):
            await stage.worker()
        await first.link.terminate(5)

        assert await (await stage.worker()).ask(["count"]) == 1


async def test_descriptors_and_sockets_are_given_back() -> None:
    async with staged() as (stage, _transport, _notes):
        await (await stage.worker()).link.terminate(5)
        before = procfs.open_files(os.getpid())
        for _ in range(20):
            worker = await stage.worker()
            worker.kill()
            await worker.heard.ending()

        assert procfs.open_files(os.getpid()) == before


async def test_a_script_can_be_its_own_worker(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "from poolproof.transport.stage import Stage\n"
        "from poolproof.transport.process import ProcessTransport\n"
        "class OwnError(Exception):\n"
        "    pass\n"
        "class Own:\n"
        "    def handle(self, request):\n"
        "        raise OwnError(request)\n"
        "async def main():\n"
        "    transport = ProcessTransport()\n"
        "    await transport.open()\n"
        "    worker = await Stage(transport).worker(Own)\n"
        "    error = await worker.heard.error(worker.send('mine')[0])\n"
        "    print(error.type, error.message)\n"
        "    await transport.close()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("__main__.OwnError mine\n", "", 0)
