"""An orphan that has ended is waited for when it is asked for; a child of one's own never is."""

import os
import signal
import subprocess

import pytest

from poolproof.agent.containment import become_subreaper
from poolproof.isolation.adoption import Adoption
from poolproof.isolation.blame import Notes
from poolproof.isolation.containment import send_signal
from poolproof.watch import procfs

pytestmark = pytest.mark.unit

ORPHAN = ["sh", "-c", "sleep 600 >/dev/null & echo $!"]
WAITS = ["sh", "-c", "sleep 600 >/dev/null & echo $!; wait"]


@pytest.fixture
def adoption() -> Adoption:
    become_subreaper()  # as any process is in which the guard is on
    return Adoption(Notes())


def end(pid: int) -> None:
    """End a child by a way of which nobody hears, and leave its status unread."""
    who = procfs.identity(pid)
    assert who
    send_signal(who, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_an_orphan_of_another_session_is_waited_for(adoption: Adoption) -> None:
    pid = int(subprocess.run(["setsid", *ORPHAN], stdout=subprocess.PIPE, check=True).stdout)
    adoption.signalled(pid)
    end(pid)
    adoption.signalled(pid)

    assert procfs.identity(pid) is None


def test_an_orphan_that_was_seen_with_another_parent_is_waited_for(adoption: Adoption) -> None:
    with subprocess.Popen(WAITS, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        adoption.signalled(pid)
        parent.kill()
    end(pid)
    adoption.signalled(pid)

    assert procfs.identity(pid) is None


def test_an_orphan_of_unknown_birth_is_left_to_the_end_of_its_test(adoption: Adoption) -> None:
    pid = int(subprocess.run(ORPHAN, stdout=subprocess.PIPE, check=True).stdout)
    end(pid)
    adoption.signalled(pid)

    assert os.waitpid(pid, 0) == (pid, signal.SIGKILL)


@pytest.mark.parametrize("session", [False, True], ids=["same session", "own session"])
def test_the_status_of_an_own_child_is_left_to_its_owner(
    adoption: Adoption,
    session: bool,  # noqa: FBT001
) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=session) as child:
        adoption.signalled(child.pid)
        end(child.pid)
        adoption.signalled(child.pid)

        assert child.wait() == -signal.SIGKILL


class Careless(Adoption):
    """Takes every child that has ended for an orphan."""

    def _was_adopted(self, who: procfs.Identity, session: int) -> bool:
        del who, session
        return True


def test_without_proof_the_status_would_be_taken_from_its_owner() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        Careless(Notes()).signalled(child.pid)

        with pytest.raises(ChildProcessError):
            os.waitpid(child.pid, 0)
