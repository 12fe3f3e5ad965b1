"""What the pools of this corpus promise: one exception class each, so that no two bugs are taken for one."""


class BrokenPromiseError(AssertionError):
    """The base of all: a pool did what it promises not to do."""


class DoubleGrantError(BrokenPromiseError):
    """Two have the same thing at the same time."""


class OverCapacityError(BrokenPromiseError):
    """More workers are open than the pool may have."""


class LostPlaceError(BrokenPromiseError):
    """A worker, or the place for one, belongs to nobody any more."""


class LostWakeUpError(BrokenPromiseError):
    """Somebody waits for ever for what is there."""


class UnfairError(BrokenPromiseError):
    """A newcomer is served at once while others wait."""


class ZombieWriteError(BrokenPromiseError):
    """A write has landed although its lease was over."""


class LostLeaseError(BrokenPromiseError):
    """A lease has ended that its holder did not release, before its term."""


class CancelledJobRanError(BrokenPromiseError):
    """A job began although its caller was told that it never will."""


class OverlapError(BrokenPromiseError):
    """Two attempts at one job run at the same time."""


class EarlyJoinError(BrokenPromiseError):
    """Who waited for all jobs was told so before their end."""


class UnresolvedJobError(BrokenPromiseError):
    """The pool is closed, and a job has no outcome."""


class PoisonedError(BrokenPromiseError):
    """Somebody was cancelled because another was."""


class DoubleLoadError(BrokenPromiseError):
    """The same is loaded twice at the same time."""


class StaleValueError(BrokenPromiseError):
    """What was forgotten before the question is the answer."""


class WrongReplyError(BrokenPromiseError):
    """An answer was given to another question."""


class LostReplyError(BrokenPromiseError):
    """An answer has come, and who asked waits for ever."""


class MissedHealError(BrokenPromiseError):
    """A worker that can be reached again is never used again."""


class DeadlockedError(BrokenPromiseError):
    """Several wait for each other for ever."""
