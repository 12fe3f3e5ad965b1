"""Leases: what the dead left is found and cleared, and what the living own is never touched."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from poolproof.errors import UsageError
from poolproof.isolation import claims, leases, locks
from poolproof.isolation.claims import Claim
from poolproof.isolation.leases import Lease, ProcessesLeftError
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

pytestmark = pytest.mark.unit

GONE = 2**22 + 1  # above the greatest pid there can be
DEAD = f"dead{secrets.token_hex(4)}"  # nobody's: this suite may run beside itself, and reaping ends processes


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    for run in list(leases._marks):
        os.close(leases._marks.pop(run))


def left(run: str, pid: int = GONE, born: int = 7) -> Lease:
    """A lease, and its directory with a file in it, of an owner that may be dead."""
    lease = Lease(run=run, pid=pid, born=born, directory=str(leases.home() / run))
    (leases.home() / f"{run}.lease").write_bytes(msgspec.json.encode(lease))
    (Path(lease.directory) / "below").mkdir(parents=True)
    return lease


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[bytes]]:
    """A process with the token of run DEAD from its birth, and a child that has cleaned its environment."""
    program = "import subprocess; subprocess.Popen(['sleep', '600'], env={}); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program],
        env={leases.RUN_VARIABLE: DEAD},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as top:
        assert top.stdout
        assert top.stdout.readline() == b"1\n"
        below = [procfs.identity(pid) for pid in procfs.descendants(top.pid)]
        yield top
        top.kill()
        for identity in below:
            if identity and procfs.alive(identity):
                os.kill(identity.pid, signal.SIGKILL)


class TestHome:
    def test_it_is_private(self, runtime: Path) -> None:
        assert leases.home() == runtime / f"poolproof-{os.getuid()}"
        assert leases.home().stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("base", ["", "/nowhere/at/all"])
    def test_without_a_runtime_directory_it_is_in_the_temporary_one(
        self, base: str, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", base)
        monkeypatch.setattr("tempfile.tempdir", str(runtime / "tmp"))
        (runtime / "tmp").mkdir()

        assert leases.home().parent == runtime / "tmp"

    def test_one_that_others_can_write_is_refused(self) -> None:
        leases.home().chmod(0o777)

        with pytest.raises(
            UsageError, match=r"^expected .* only this user can write, got drwxrwxrwx"
        ):
            leases.home()

    def test_one_that_is_a_link_is_refused(self, runtime: Path) -> None:
        (runtime / f"poolproof-{os.getuid()}").symlink_to(runtime)

        with pytest.raises(UsageError, match="got l"):
            leases.home()


class TestTaking:
    def test_a_lease_names_its_owner_and_its_directory(self) -> None:
        lease = leases.take("mine")

        assert procfs.identity(os.getpid()) == Identity(lease.pid, lease.born)
        assert Path(lease.directory).stat().st_mode & 0o777 == 0o700
        assert msgspec.json.decode((leases.home() / "mine.lease").read_bytes(), type=Lease) == lease

    def test_what_is_released_leaves_nothing(self) -> None:
        lease = leases.take("mine")
        (Path(lease.directory) / "file").touch()
        leases.release(lease)
        leases.release(lease)

        assert list(leases.home().iterdir()) == []


class TestAbandoned:
    def test_a_live_owner_keeps_its_lease(self) -> None:
        leases.take("mine")

        assert list(leases.abandoned()) == []
        assert leases.reap() == []

    def test_a_dead_owner_does_not(self) -> None:
        lease = left(DEAD)

        assert list(leases.abandoned()) == [lease]

    def test_who_has_the_dead_owners_pid_now_is_not_the_owner(self) -> None:
        lease = left(DEAD, pid=os.getpid(), born=1)

        assert list(leases.abandoned()) == [lease]

    def test_an_owner_of_another_boot_is_dead_whoever_has_its_pid_and_start_now(self) -> None:
        mine = leases.take("mine")
        mine.file.write_text(json.dumps({**asdict(mine), "boot": "another"}))

        assert [lease.run for lease in leases.abandoned()] == ["mine"]

    def test_an_owner_in_another_container_is_not_ours_to_bury(self) -> None:
        mine = leases.take("mine")
        foreign = {**asdict(mine), "space": "pid:[1]", "pid": GONE}
        mine.file.write_text(json.dumps(foreign))

        assert list(leases.abandoned()) == []
        assert leases.reap() == []

    @pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"run": "x"}', b'{"run": "\xff"}'])
    def test_a_damaged_lease_is_passed_over_and_hides_no_other(self, text: bytes) -> None:
        (leases.home() / "aaa.lease").write_bytes(text)
        lease = left(DEAD)

        assert list(leases.abandoned()) == [lease]

    def test_a_lease_that_names_a_directory_elsewhere_is_passed_over(self, tmp_path: Path) -> None:
        lease = Lease(run=DEAD, pid=GONE, born=1, directory=str(tmp_path / "precious"))
        (leases.home() / f"{DEAD}.lease").write_bytes(msgspec.json.encode(lease))

        assert list(leases.abandoned()) == []


class TestStrays:
    @pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"run": "x"}', b"[1]", b"null"])
    @pytest.mark.parametrize("name", ["aaa.lease", "aaa.begun"])
    def test_what_is_no_whole_lease_is_removed(self, text: bytes, name: str) -> None:
        stray = leases.home() / name
        stray.write_bytes(text)

        assert leases.reap() == [f"removed {stray}, which is no whole lease"]
        assert list(leases.home().iterdir()) == []

    def test_one_that_names_a_directory_elsewhere_goes_and_the_directory_stays(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "precious").mkdir()
        lease = Lease(run=DEAD, pid=GONE, born=1, directory=str(tmp_path / "precious"))
        (leases.home() / f"{DEAD}.lease").write_bytes(msgspec.json.encode(lease))

        assert len(leases.reap()) == 1
        assert (tmp_path / "precious").exists()

    def test_one_that_a_dead_process_had_begun_is_removed(self) -> None:
        lease = Lease(run="new", pid=GONE, born=1, directory=str(leases.home() / "new"))
        (leases.home() / "new.begun").write_bytes(msgspec.json.encode(lease))

        assert len(leases.reap()) == 1

    def test_one_that_a_living_process_has_begun_is_spared(self) -> None:
        me = procfs.identity(os.getpid())
        assert me
        lease = Lease(run="new", pid=me.pid, born=me.born, directory=str(leases.home() / "new"))
        (leases.home() / "new.begun").write_bytes(msgspec.json.encode(lease))

        assert leases.reap() == []

    def test_one_that_is_being_written_is_spared(self) -> None:
        with (leases.home() / "new.begun").open("wb"):
            assert leases.reap() == []

    def test_one_that_was_finished_while_it_was_looked_at_is_spared(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        me = procfs.identity(os.getpid())
        assert me
        lease = Lease(run="new", pid=me.pid, born=me.born, directory=str(leases.home() / "new"))
        begun = leases.home() / "new.begun"
        begun.touch()

        def finish(path: Path) -> bool:
            path.write_bytes(msgspec.json.encode(lease))
            return False

        monkeypatch.setattr(leases, "_open_somewhere", finish)

        assert leases.reap() == []

    def test_a_damaged_lease_whose_owner_lives_is_spared(self) -> None:
        lease = leases.take("mine")
        lease.file.write_bytes(b"{")

        assert leases.reap() == []
        assert Path(lease.directory).exists()

    def test_a_directory_that_no_lease_claims_is_removed(self) -> None:
        (leases.home() / "left" / "below").mkdir(parents=True)

        assert leases.reap() == [f"removed {leases.home() / 'left'}, which no lease claims"]


class TestPorts:
    def test_the_port_of_a_dead_run_is_freed_and_that_of_a_living_one_is_not(self) -> None:
        dead, mine = left(DEAD), leases.take("mine")
        ports = leases.home() / leases.PORTS
        ports.mkdir()
        os.link(dead.file, ports / "10001")
        os.link(mine.file, ports / "10002")
        (ports / "10003").write_text("{")

        assert leases.reap()[1:] == [f"freed port 10001 of run {DEAD}", "freed port 10003"]
        assert [path.name for path in ports.iterdir()] == ["10002"]


class TestLocks:
    def test_the_ticket_of_the_dead_goes_and_that_of_the_living_stays(self) -> None:
        folder = leases.home() / leases.LOCKS / "db"
        ticket = locks.acquire(folder, "write", "me", 1)
        with (
            socket.socket(socket.AF_UNIX) as dead,
            contextlib.chdir(folder),
        ):  # a path may be too long
            dead.bind("00000002.read")

        assert leases.reap() == ["cleared 1 dead in the queue of lock db"]
        assert (folder / "00000001.write").exists()
        ticket.release()
        leases.reap()
        assert not folder.exists()


class TestReapers:
    def test_two_do_not_work_at_once(self) -> None:
        left(DEAD)
        descriptor = os.open(leases.home(), os.O_RDONLY)
        try:
            assert locks.locked(descriptor, 0)
            assert leases.reap(wait=0.01) == [
                "expected to reap alone within 0.01 s, got another reaper still at work"
            ]
        finally:
            os.close(descriptor)
        assert len(leases.reap()) == 1

    def test_a_forked_child_that_kept_nothing_but_the_mark_is_ended(self) -> None:
        """Its environment is that of whoever executed this process: nothing there tells whose it is."""
        program = (
            "import os, sys\nfrom poolproof.isolation import leases\n"
            f"lease = leases.take('{DEAD}')\n"
            "pid = os.fork()\nif not pid: os.setsid(); input()\nprint(pid, flush=True); os._exit(0)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as top:
            assert top.stdout
            child = procfs.identity(int(top.stdout.readline()))
            assert child
            top.wait(10)
            assert procfs.alive(child)
            lines = leases.reap()

        assert lines[0] == f"run {DEAD}: ended 1 processes that were left without a keeper"
        assert not procfs.alive(child)


class TestClaims:
    def test_what_a_dead_run_has_claimed_elsewhere_is_removed(self, tmp_path: Path) -> None:
        lease, path = left(DEAD), tmp_path / "elsewhere"
        claims.note(Path(lease.directory, "below"), Claim("path", str(path)))
        path.write_text("left")
        lines = leases.reap()

        assert f"run {DEAD}: removed path {path}" in lines
        assert not path.exists()

    def test_what_the_living_claim_too_is_spared(self, tmp_path: Path) -> None:
        lease, mine, path = left(DEAD), leases.take("mine"), tmp_path / "elsewhere"
        Path(mine.directory, "below").mkdir()
        for one in (lease, mine):
            claims.note(Path(one.directory, "below"), Claim("path", str(path)))
        path.write_text("living")
        leases.reap()

        assert path.exists()

    def test_a_kind_that_is_not_known_here_is_said_and_kept(self) -> None:
        lease = left(DEAD)
        claims.note(Path(lease.directory, "below"), Claim("schema", "s1"))
        (line,) = leases.reap()

        assert line.startswith(f"run {DEAD}: expected claims of kind path, name, got schema s1")
        assert lease.file.exists()

    def test_a_name_that_is_taken_is_refused(self) -> None:
        leases.take("mine")

        with pytest.raises(UsageError, match=r"^expected a run name that nobody has, got mine"):
            leases.take("mine")
        assert [path.name for path in leases.home().glob("*.begun")] == []


class TestReaping:
    def test_the_directory_of_a_dead_run_is_removed(self) -> None:
        lease = left(DEAD)
        mine = leases.take("mine")

        assert leases.reap() == [f"run {DEAD}: removed {lease.directory}"]
        assert not Path(lease.directory).exists()
        assert Path(mine.directory).exists()
        assert leases.reap() == []

    def test_a_lease_without_a_directory_goes_without_a_word(self) -> None:
        lease = left(DEAD)
        (Path(lease.directory) / "below").rmdir()
        Path(lease.directory).rmdir()

        assert leases.reap() == []
        assert list(leases.home().iterdir()) == []

    def test_its_processes_are_ended_with_all_that_descends_from_them(
        self, tree: subprocess.Popen[bytes]
    ) -> None:
        left(DEAD)
        below = [procfs.identity(pid) for pid in procfs.descendants(tree.pid)]
        lines = leases.reap()

        assert lines[0] == f"run {DEAD}: ended 2 processes that were left without a keeper"
        assert tree.wait(10) == -signal.SIGKILL
        assert len(below) == 1
        assert not any(identity and procfs.alive(identity) for identity in below)

    @pytest.mark.parametrize("forked", [False, True], ids=["executed", "forked"])
    def test_the_owners_other_children_are_not_its_runs(self, *, forked: bool) -> None:
        lease = leases.take("mine")
        if forked:
            innocent = os.fork()
            if not innocent:
                signal.pause()
        else:
            innocent = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
        try:
            assert leases.end(lease) == []
            assert os.waitpid(innocent, os.WNOHANG) == (0, 0)
        finally:
            os.kill(innocent, signal.SIGKILL)
            os.waitpid(innocent, 0)

    def test_what_the_owner_gave_its_token_is_ended_at_its_own_word(
        self, tree: subprocess.Popen[bytes]
    ) -> None:
        lines = leases.end(leases.take(DEAD))

        assert lines == [f"run {DEAD}: ended 2 processes that were left without a keeper"]
        assert tree.wait(10) == -signal.SIGKILL

    def test_processes_of_another_run_are_spared(self, tree: subprocess.Popen[bytes]) -> None:
        left(f"{DEAD}1")
        left(DEAD[:-1])
        leases.reap()

        assert tree.poll() is None

    def test_what_will_not_die_is_said_and_kept_for_the_next_time(
        self, tree: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "END_SECONDS", 0.01)
        monkeypatch.setattr(leases, "send_signal", lambda *_: False)
        lease = left(DEAD)
        (line,) = leases.reap()

        assert line.startswith(
            f"expected the processes of run {DEAD} to die within 0.01 s of SIGKILL"
        )
        assert str(tree.pid) in line
        assert list(leases.abandoned()) == [lease]
        with pytest.raises(ProcessesLeftError):
            leases.end(lease)
