"""The controller's hold on a host and its trials: what it reads, what it refuses, and what it leaves."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from poolproof import history
from poolproof import host as hosts
from poolproof.errors import TargetError
from poolproof.history import Event
from poolproof.host import Host, HostLostError, Trial
from poolproof.plan import Target
from poolproof.watch import procfs

pytestmark = pytest.mark.integration

T = TypeVar("T")
THREADS = "concurrent.futures.ThreadPoolExecutor"


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    made = Trial(tmp_path / "trial")
    made.lay_out()
    yield made
    if not made.ended:
        asyncio.run(made.end())


def append(trial: Trial, text: bytes) -> None:
    with trial.journal.open("ab") as file:
        file.write(text)


class TestHistory:
    def test_what_is_appended_is_read_once(self, trial: Trial) -> None:
        trial.write("note", message="one")
        seen = [trial.poll(), trial.poll()]
        trial.write("note", message="two")
        seen.append(trial.poll())

        assert seen == [True, False, True]
        assert [event.message for event in trial.events] == ["one", "two"]

    def test_a_torn_line_is_read_when_it_is_whole(self, trial: Trial) -> None:
        line = history.encode(Event(t=1, kind="note"))
        append(trial, line[:5])
        trial.poll()
        before = list(trial.events)
        append(trial, line[5:])
        trial.poll()

        assert before == []
        assert trial.events == [Event(t=1, kind="note")]

    def test_garbage_between_events_hides_none(self, trial: Trial) -> None:
        line = history.encode(Event(t=1, kind="note"))
        append(trial, line + b"printed by the target\n\xff\n" + line)
        trial.poll()

        assert len(trial.events) == 2

    @pytest.mark.parametrize("end", [b"\n", b""])
    def test_a_target_that_fills_it_with_garbage_is_refused(
        self, end: bytes, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hosts, "MOST_FOREIGN_BYTES", 1000)
        append(trial, b"x" * 1001 + end)

        with pytest.raises(TargetError, match=r"^expected the target to write only into files"):
            trial.poll()


class TestCommands:
    def test_they_come_in_order(self, trial: Trial) -> None:
        trial.command("start")
        trial.command("sample", label="before")
        with (trial.directory / "commands").open("rb", buffering=0) as pipe:
            told = pipe.read(1000)

        assert told == b'{"do":"start"}\n{"do":"sample","label":"before"}\n'

    def test_an_owner_that_reads_nothing_blocks_nobody(self, trial: Trial) -> None:
        for number in range(3):
            trial.command("submit", jobs=[number], padding="x" * 60_000)
        read = b""
        with (trial.directory / "commands").open("rb", buffering=0) as pipe:
            while read.count(b"\n") < 3:
                read += pipe.read(1 << 16)
                trial.poll()

        assert [line[:25] for line in read.splitlines()] == [
            b'{"do":"submit","jobs":[%d]' % number for number in range(3)
        ]


class TestGates:
    def test_a_gate_is_there_until_it_is_opened(self, trial: Trial) -> None:
        path = Path(trial.close_gate("gate"))
        before = path.is_fifo()
        trial.open_gate("gate")
        trial.open_gate("gate")

        assert before
        assert not path.exists()

    def test_all_are_opened_at_once(self, trial: Trial) -> None:
        paths = [Path(trial.close_gate(name)) for name in ("one", "two")]
        trial.open_gates()

        assert not any(path.exists() for path in paths)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path cannot count itself out


def test_a_trial_that_has_ended_holds_nothing(tmp_path: Path) -> None:
    before = descriptors()
    trial = Trial(tmp_path / "trial")
    trial.lay_out()
    trial.close_gate("gate")
    asyncio.run(trial.end())

    assert descriptors() == before


def hosted(
    directory: Path, name: str, use: Callable[[Host], Awaitable[T]], **more: Any
) -> tuple[T, Host]:
    """Start a host, use it, and return what came of it; the host has ended by then."""
    usual = {"name": name, "cwd": str(directory), "python": sys.executable}
    target = Target(**{**usual, **more})

    async def scenario() -> tuple[T, Host]:
        async with Host(target, run="test-host", directory=directory) as host:
            return await use(host), host

    return asyncio.run(scenario())


async def nothing(_host: Host) -> None: ...


def refused(directory: Path, name: str, **more: Any) -> str:
    with pytest.raises(TargetError) as raised:
        hosted(directory, name, nothing, **more)
    return str(raised.value)


def test_a_host_is_there_until_it_is_left(tmp_path: Path) -> None:
    async def see(host: Host) -> tuple[bool, str, int]:
        assert host.identity
        return procfs.alive(host.identity), host.version, host.threads

    seen, host = hosted(tmp_path, THREADS, see)

    assert seen == (True, sys.version.split()[0], 1)
    assert host.identity
    assert not procfs.alive(host.identity)


def test_modules_can_be_preloaded(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )

    async def preload(host: Host) -> int:
        await host.preload(["threaded"])
        return host.threads

    assert hosted(tmp_path, THREADS, preload)[0] == 2


def test_another_host_has_a_directory_of_its_own(tmp_path: Path) -> None:
    async def copy(host: Host) -> list[Path]:
        return [host.another().directory, host.another().directory]

    found, host = hosted(tmp_path, THREADS, copy)

    assert found == [tmp_path / "copy1", tmp_path / "copy2"]
    assert host.target.name == THREADS


class TestRefusals:
    def test_a_python_that_is_not_there(self, tmp_path: Path) -> None:
        assert refused(tmp_path, THREADS, python="/no/python").startswith(
            "expected a Python interpreter at /no/python and a directory"
        )

    def test_a_python_that_is_none(self, tmp_path: Path) -> None:
        told = refused(tmp_path, THREADS, python="/bin/false")

        assert told.startswith("expected a Python interpreter, 3.11 or later, at /bin/false, got ")
        assert "exit code 1" in told

    def test_a_target_that_is_not_there(self, tmp_path: Path) -> None:
        assert "no_such_module" in refused(tmp_path, "no_such_module:make")

    def test_a_target_that_ends_its_interpreter(self, tmp_path: Path) -> None:
        (tmp_path / "abrupt.py").write_text(
            "import os\nprint('my last words', flush=True)\nos._exit(3)\n"
        )

        assert refused(tmp_path, "abrupt:make") == (
            "expected abrupt:make to be importable, got an interpreter that ended with exit code 3;"
            " its last words: my last words"
        )

    def test_a_target_that_hangs_while_it_is_imported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hosts, "IMPORT_SECONDS", 0.3)
        (tmp_path / "hanging.py").write_text("import threading\nthreading.Event().wait()\n")

        assert refused(tmp_path, "hanging:make", deadline=0.1) == (
            "expected hanging:make to be imported within 0.3 s, got no answer;"
            " give a longer --deadline if it is only slow"
        )

    def test_a_target_that_writes_where_the_answers_come_from(self, tmp_path: Path) -> None:
        (tmp_path / "loud.py").write_text(
            "import os\n"
            "for number in range(3, 30):\n"
            "    try: os.write(number, b'garbage\\n')\n"
            "    except OSError: pass\n"
        )

        assert "where poolproof's own answers come from" in refused(tmp_path, "loud:make")


def test_a_host_that_ended_is_lost(tmp_path: Path) -> None:
    async def lose(host: Host) -> None:
        assert host.identity
        (zygote,) = procfs.descendants(host.identity.pid)
        os.kill(zygote, signal.SIGKILL)
        await host.preload(["wave"])

    with pytest.raises(HostLostError, match=r"^an interpreter that ended with exit code 137;"):
        hosted(tmp_path, THREADS, lose)


def test_a_trial_that_could_not_be_forked_holds_nothing(tmp_path: Path) -> None:
    async def fork(host: Host) -> list[str]:
        assert host.identity
        (zygote,) = procfs.descendants(host.identity.pid)
        os.kill(zygote, signal.SIGKILL)
        with pytest.raises(HostLostError):
            await host.fork(tmp_path / "trial")
        return [link for _, link in procfs.links(os.getpid())]

    links, _ = hosted(tmp_path, THREADS, fork)

    assert not any(link.startswith(str(tmp_path / "trial")) for link in links)


def test_a_host_that_is_cancelled_at_its_birth_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> Host:
        target = Target(name=THREADS, cwd=str(tmp_path), python=sys.executable)
        host = Host(target, run="test-host", directory=tmp_path)
        birth = asyncio.create_task(host.__aenter__())
        await asyncio.sleep(0)
        birth.cancel()
        await asyncio.gather(birth, return_exceptions=True)
        return host

    before = descriptors()
    host = asyncio.run(scenario())

    assert host._keeper.returncode is not None
    assert descriptors() == before


def test_a_keeper_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "END_SECONDS", 0.01)

    async def stop(host: Host) -> None:
        os.kill(host._keeper.pid, signal.SIGSTOP)

    _, host = hosted(tmp_path, THREADS, stop)

    assert host._keeper.returncode == -signal.SIGKILL
