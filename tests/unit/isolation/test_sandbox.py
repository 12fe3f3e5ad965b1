"""The sandbox: names and places of a test's own, what it hands over, and the end of all of it.

Long because each way out of a sandbox is taken for each thing that it holds.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from poolproof.errors import UsageError
from poolproof.isolation import leases, places, processes, sandbox
from poolproof.isolation.cleaning import CleanupError
from poolproof.isolation.leases import Lease
from poolproof.isolation.names import Namespace
from poolproof.isolation.places import NoPortError, Places
from poolproof.isolation.sandbox import Sandbox, async_isolation_context

pytestmark = pytest.mark.unit


@pytest.fixture
def lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(places, "_lease", None)
    monkeypatch.setattr(places, "_holders", 0)
    with places.process_lease() as taken:
        yield taken


@pytest.fixture
def box(lease: Lease) -> Iterator[Sandbox]:
    made = Sandbox(Namespace(lease.run, "tests/test_a.py::test_a"), lease)
    yield made
    made.cleanup()


class TestNames:
    def test_a_name_is_the_same_again_and_no_other_tests(self, box: Sandbox, lease: Lease) -> None:
        other = Sandbox(Namespace(lease.run, "tests/test_a.py::test_b"), lease)

        assert box.name("users") == box.name("users")
        assert box.name("users") != other.name("users")
        assert box.unique("users") != box.unique("users")
        other.cleanup()

    def test_job_ids_are_counted(self, box: Sandbox) -> None:
        first, second = box.job_id(), box.job_id("import")

        assert first.startswith("job-t")
        assert (first[-2:], second[-2:]) == ("-1", "-2")
        assert second.startswith("import-")

    def test_shared_memory_of_its_name_is_removed(self, box: Sandbox) -> None:
        memory = Path("/dev/shm", box.name("memory"))
        memory.touch()
        semaphore = memory.with_name(f"sem.{memory.name}")
        semaphore.touch()
        box.cleanup()

        assert not memory.exists()
        assert not semaphore.exists()


class TestTenants:
    def test_what_is_another_tenants_is_found(self, box: Sandbox) -> None:
        mine, theirs = box.tenant("a"), box.tenant("b")
        box.assert_tenant_isolated(mine, [f"tenant:{mine}:1", f"tenant:{mine}:2"])

        with pytest.raises(AssertionError, match=f"got .*{theirs}"):
            box.assert_tenant_isolated(mine, [f"tenant:{mine}:1", f"tenant:{theirs}:1"])

    def test_one_tenant_whose_name_begins_with_anothers_is_another(self, box: Sandbox) -> None:
        with pytest.raises(AssertionError):
            box.assert_tenant_isolated(box.tenant("a"), [f"tenant:{box.tenant('ab')}:1"])

    def test_nothing_to_look_at_is_no_proof(self, box: Sandbox) -> None:
        with pytest.raises(AssertionError, match="got nothing"):
            box.assert_tenant_isolated(box.tenant("a"), [])

    def test_rows_are_asked_for_their_tenant(self, box: Sandbox) -> None:
        rows = [{"tenant": box.tenant("a"), "text": box.tenant("b")}]

        box.assert_tenant_isolated(box.tenant("a"), rows, tenant_of=lambda row: row["tenant"])


class TestPlaces:
    def test_directories_are_private_and_gone_in_the_end(self, box: Sandbox) -> None:
        path = box.dir("data")
        (path / "file").write_text("x")

        assert path == box.dir("data")
        assert path.stat().st_mode & 0o777 == 0o700
        box.cleanup()
        assert not path.parent.exists()

    def test_a_directory_that_the_test_has_locked_is_removed_too(self, box: Sandbox) -> None:
        path = box.dir("data")
        (path / "inner").mkdir()
        (path / "inner" / "file").touch()
        (path / "inner").chmod(0)
        path.chmod(0o500)

        assert box.cleanup().complete
        assert not path.exists()

    def test_a_link_to_elsewhere_goes_and_what_it_leads_to_stays_as_it_is(
        self, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o500)
        path = box.dir("data")
        (path / "link").symlink_to(elsewhere)
        rmtree, calls = shutil.rmtree, iter([False])

        def fail_at_first(root: Path, **options: Any) -> None:
            if next(calls, True):
                rmtree(root, **options)

        monkeypatch.setattr("shutil.rmtree", fail_at_first)

        assert box.cleanup().complete
        assert not path.exists()
        assert elsewhere.stat().st_mode & 0o777 == 0o500

    @pytest.mark.parametrize("label", ["", ".", "..", "a/b", "claims", "a\0b"])
    def test_a_label_that_is_no_file_name_is_refused(self, box: Sandbox, label: str) -> None:
        with pytest.raises(UsageError, match=r"^expected the name of one file"):
            box.dir(label)

    def test_a_port_is_bound_and_nobody_elses_until_the_end(
        self, box: Sandbox, lease: Lease
    ) -> None:
        bound = box.port()
        number = bound.getsockname()[1]
        claim = lease.home / "ports" / str(number)

        assert bound.getsockname()[0] == "127.0.0.1"
        assert leases.read(claim) == lease
        box.cleanup()
        assert bound.fileno() == -1
        assert not claim.exists()

    def test_a_port_whose_socket_was_closed_stays_leased(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = box.port().getsockname()[1]
        box.port().close()
        monkeypatch.setattr(places, "LEAST_PORT", number)
        monkeypatch.setattr(places, "_first_ephemeral", lambda: number + 1)

        with pytest.raises(NoPortError, match=rf"^expected a free port from {number} to {number}"):
            box.port()

    def test_a_port_that_somebody_else_has_bound_is_passed_over(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch, lease: Lease
    ) -> None:
        with socket.socket() as foreign:
            foreign.bind(("127.0.0.1", 0))
            number = foreign.getsockname()[1]
            monkeypatch.setattr(places, "LEAST_PORT", number)
            monkeypatch.setattr(places, "_first_ephemeral", lambda: number + 1)
            with pytest.raises(NoPortError):
                box.port()
        assert list((lease.home / "ports").iterdir()) == []

    def test_a_socket_path_can_be_bound_however_deep_the_leases_are(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deep = tmp_path / ("d" * 90)
        deep.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
        lease = leases.take("deep")
        own = Places(lease, Namespace("deep", "t"))
        path = own.socket_path("server")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
        assert all(there for _, there in own.clear())
        leases.release(lease)

        assert not path.parent.exists()

    def test_what_is_owned_elsewhere_goes_and_what_was_there_before_is_refused(
        self, box: Sandbox, tmp_path: Path
    ) -> None:
        mine, old = tmp_path / "mine", tmp_path / "old"
        old.touch()
        box.own(mine).mkdir()
        (mine / "file").touch()

        with pytest.raises(UsageError, match=r"^expected a path where nothing is yet, got "):
            box.own(old)
        box.cleanup()
        assert not mine.exists()
        assert old.exists()

    def test_a_claim_of_an_unknown_kind_is_refused(self, box: Sandbox) -> None:
        with pytest.raises(UsageError, match=r"^expected a kind of claim among path, name"):
            box.claim("schema", "s")

    def test_what_an_earlier_attempt_left_is_cleared_on_entering(
        self, lease: Lease, tmp_path: Path
    ) -> None:
        first = Sandbox(Namespace(lease.run, "t", 1), lease)
        (first.dir("data") / "file").touch()
        first.own(tmp_path / "elsewhere").touch()
        with subprocess.Popen(["sleep", "600"]) as child:
            second = Sandbox(Namespace(lease.run, "t", 2), lease)

            assert child.wait(10) == -signal.SIGTERM
        assert second.early == [
            f"process {child.pid} of an earlier attempt",
            f"path {tmp_path / 'elsewhere'}",
            f"directory {first.dir('data').parent}",
        ]
        assert not (tmp_path / "elsewhere").exists()
        second.cleanup()
        first.cleanup()


class TestEnvironment:
    def test_variables_come_back_and_others_changes_stay(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BOX_A", "before")
        box.setenv("BOX_A", "during")
        box.setenv("BOX_A", "later")
        box.setenv("BOX_B", "new")
        box.setenv("PATH", None)
        monkeypatch.setenv("BOX_C", "not ours")

        assert "PATH" not in os.environ
        box.cleanup()
        assert os.environ["BOX_A"] == "before"
        assert "BOX_B" not in os.environ
        assert os.environ["BOX_C"] == "not ours"
        assert "PATH" in os.environ

    def test_homes_are_redirected_on_request(self, box: Sandbox) -> None:
        before = tempfile.gettempdir()
        box.redirect()

        assert Path(os.environ["HOME"]) == Path.home() == box.dir("home")
        assert Path(tempfile.gettempdir()) == box.dir("tmp")
        assert Path(os.environ["XDG_CACHE_HOME"]) == box.dir("cache")
        box.cleanup()
        assert tempfile.gettempdir() == before

    def test_only_those_that_are_named(self, box: Sandbox) -> None:
        before = os.environ.get("HOME")
        box.redirect("XDG")

        assert os.environ.get("HOME") == before
        with pytest.raises(UsageError, match=r"^expected words among HOME, TMPDIR, XDG, got home"):
            box.redirect("home")


SLEEP = [sys.executable, "-S", "-c", "import time; print(1, flush=True); time.sleep(600)"]
FAR = (
    "import subprocess, sys\n"
    "p = subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=subprocess.DEVNULL)\n"
    "print(p.pid, flush=True)"
)


class TestProcesses:
    def test_a_child_that_was_left_is_ended_and_said(self, box: Sandbox) -> None:
        with subprocess.Popen(["sleep", "600"]) as child:
            (released,) = box.cleanup_orphaned_processes()

            assert child.wait(10) == -signal.SIGTERM
        assert (released.verified, released.leak) == (True, "child")
        assert released.what == f"process {child.pid} (sleep 600)"
        assert box.cleanup_orphaned_processes() == []

    def test_an_orphan_in_another_session_is_found_by_its_token(self, box: Sandbox) -> None:
        done = subprocess.run([sys.executable, "-S", "-c", FAR], stdout=subprocess.PIPE, check=True)
        (released,) = box.cleanup_orphaned_processes()

        assert str(int(done.stdout)) in released.what
        assert released.verified

    def test_a_forked_child_is_found_below_us(self, box: Sandbox) -> None:
        pid = os.fork()
        if not pid:
            signal.pause()
        (released,) = box.cleanup_orphaned_processes()
        os.waitpid(pid, 0)

        assert released.leak == "child"

    def test_what_was_there_before_and_what_was_spared_stay(self, lease: Lease) -> None:
        with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as before:
            box = Sandbox(Namespace(lease.run, "t"), lease)
            with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as wider:
                box.spare(processes.below())

                assert box.cleanup().complete
                assert (before.poll(), wider.poll()) == (None, None)
                wider.kill()
            before.kill()

    def test_the_token_is_gone_from_the_environment_in_the_end(self, box: Sandbox) -> None:
        assert leases.SANDBOX_VARIABLE in os.environ
        box.cleanup()

        assert leases.SANDBOX_VARIABLE not in os.environ

    def test_one_that_ignores_sigterm_is_killed(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processes, "GRACE_SECONDS", 0.05)
        monkeypatch.setattr(processes.end, "__kwdefaults__", {"grace": 0.05})
        program = (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            "print(1, flush=True); signal.pause()"
        )
        with subprocess.Popen(
            [sys.executable, "-S", "-c", program], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout
            child.stdout.readline()

            assert [one.verified for one in box.cleanup_orphaned_processes()] == [True]
            assert child.wait(10) == -signal.SIGKILL


class Mailer:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


MAILER = Mailer()


async def forever() -> None:
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def block(log: list[str], name: str) -> AsyncGenerator[str]:
    log.append(f"enter {name}")
    yield name
    log.append(f"leave {name}")


class TestHandedOver:
    def test_tasks_services_and_blocks_end_in_reverse_order_in_the_loop(self, box: Sandbox) -> None:
        log: list[str] = []

        async def work() -> None:
            try:
                await forever()
            finally:
                log.append("cancelled")

        async def main() -> Mailer:
            assert await box.enter(block(log, "a")) == "a"
            box.spawn(work(), name="worker")
            mailer = box.isolated(Mailer)
            await box.enter(block(log, "b"), proof=lambda: "leave b" in log)
            await asyncio.sleep(0)
            await box.aclose()
            return mailer

        mailer = asyncio.run(main())

        assert log == ["enter a", "enter b", "leave b", "cancelled", "leave a"]
        assert mailer.closed
        cleaned = box.cleanup()
        assert cleaned.complete
        assert [one.what for one in cleaned.released][:4] == [
            "_AsyncGeneratorContextManager",
            "service Mailer",
            "task worker",
            "_AsyncGeneratorContextManager",
        ]

    def test_a_task_whose_loop_is_over_is_said(self, box: Sandbox) -> None:
        async def main() -> None:
            box.track_task(asyncio.get_running_loop().create_future(), "answer")

        asyncio.run(main())
        cleaned = box.cleanup()

        assert not cleaned.complete
        assert next(cleaned.lines()).startswith("task answer: its loop was over before")

    def test_services_caches_and_tables_come_back(self, box: Sandbox) -> None:
        service, table = Mailer(), {"old": 1}
        assert box.track_service(service) is service
        assert box.track_table(table, "jobs") is table
        service.sent.append("x")
        table["new"] = 2
        (released,) = box.cleanup_tables()

        assert released.what == "table jobs"
        assert table == {"old": 1}
        assert box.cleanup().complete
        assert service.sent == []

    def test_a_service_is_found_by_its_path_or_as_a_mock(self, box: Sandbox) -> None:
        mock = box.mock_service("mailer")

        assert box.track_service("mailer") is mock
        assert box.track_service(f"{__name__}:MAILER") is MAILER
        with pytest.raises(UsageError, match=r"mock service of this test \(mailer\), got 'other'"):
            box.track_service("other")

    def test_a_singleton_is_replaced_until_the_end(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = types.ModuleType("poolproof_test_singleton")
        module.CLIENT = "real"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)

        assert box.singleton("poolproof_test_singleton:CLIENT", lambda: "mine") == "mine"
        assert module.CLIENT == "mine"
        box.cleanup()
        assert module.CLIENT == "real"


STEPS = [
    "cleanup_orphaned_processes",
    "cleanup_tables",
    "cleanup_test_files",
]


class TestTheEnd:
    def test_cleaning_twice_is_harmless(self, box: Sandbox) -> None:
        box.dir("data")
        box.port()
        box.setenv("BOX_A", "x")

        assert box.cleanup().complete
        second = box.cleanup()
        assert second.complete
        assert second.released == ()

    @pytest.mark.parametrize("broken", STEPS)
    def test_each_step_is_run_though_another_raises(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch, broken: str
    ) -> None:
        path, table = box.dir("data"), {"old": 1}
        box.track_table(table)
        table["new"] = 2
        box.setenv("BOX_A", "x")

        def fail() -> list[Any]:
            raise OSError("no")

        with monkeypatch.context() as patched, subprocess.Popen(["sleep", "600"]) as child:
            patched.setattr(box, broken, fail)
            cleaned = box.cleanup()
            done = {
                "cleanup_orphaned_processes": child.poll() is not None,
                "cleanup_tables": table == {"old": 1},
                "cleanup_test_files": not path.exists(),
            }
            child.kill()

        assert [step for step, _ in cleaned.errors] == [broken]
        assert [step for step, is_done in done.items() if not is_done] == [broken]
        assert "BOX_A" not in os.environ
        assert box.cleanup().complete

    def test_every_step_can_be_called_by_itself_when_there_is_nothing(self, box: Sandbox) -> None:
        assert [getattr(box, step)() for step in STEPS] == [[], [], []]

    def test_an_open_sandbox_is_known_and_a_clean_one_is_not(self, box: Sandbox) -> None:
        assert sandbox.open_sandboxes()[-1] is box
        box.cleanup()

        assert box not in sandbox.open_sandboxes()


@pytest.mark.usefixtures("lease")
class TestContext:
    def test_everything_is_released_when_the_block_is_left(self) -> None:
        async def main() -> tuple[asyncio.Task[None], Path]:
            async with async_isolation_context("import") as box:
                return box.spawn(forever()), box.dir("data")

        task, path = asyncio.run(main())

        assert task.cancelled()
        assert not path.exists()

    def test_two_of_one_name_do_not_meet(self) -> None:
        async def main() -> set[str]:
            async with async_isolation_context("a") as one, async_isolation_context("a") as two:
                return {one.name("x"), two.name("x")}

        assert len(asyncio.run(main())) == 2

    def test_what_is_not_released_is_an_error(self) -> None:
        async def main() -> None:
            async with async_isolation_context("a") as box:
                await box.enter(block([], "b"), "the block", proof=lambda: False)

        with pytest.raises(CleanupError, match=r"got the block: not released"):
            asyncio.run(main())

    def test_what_the_block_raises_stands_over_it_and_has_a_note(self) -> None:
        async def main() -> None:
            async with async_isolation_context("a") as box:
                await box.enter(block([], "b"), "the block", proof=lambda: False)
                raise ValueError("mine")

        with pytest.raises(ValueError, match="mine") as caught:
            asyncio.run(main())
        assert caught.value.__notes__ == [
            "poolproof: the block: was released, but has not proved it"
        ]


class TestLease:
    def test_a_forked_child_has_a_lease_of_its_own(self, lease: Lease) -> None:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            with places.process_lease() as other:
                os.write(write, other.run.encode())
            os._exit(0)
        os.waitpid(pid, 0)
        run = os.read(read, 1000).decode()
        os.close(read)
        os.close(write)

        assert run
        assert run != lease.run
        assert lease.file.exists()

    def test_it_is_given_back_by_its_last_holder(self, lease: Lease) -> None:
        """A suite that is run inside a test of another one shares the process's lease."""
        with places.process_lease() as inner:
            assert inner == lease

        assert lease.file.exists()
