"""What a load's rows add up to: latency from when each was due, errors, backlog, and whether it was offered at all."""

import bisect
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poolproof.agent.generator import BLOCKED, BUSY, DROPPED, OK
from poolproof.latency import Histogram
from poolproof.ranks import percentile

NS: Final = 1_000_000_000
LATE_NS: Final = 10_000_000
"""An arrival that was sent later than this, through no fault of the pool's, was late."""
LATE_SHARE: Final = 0.01
"""How many may be late before the load was not the one that was planned."""
BEHIND_NS: Final = NS
"""A generator that sends its last arrival later than this has fallen behind."""
CATCH_UP_NS: Final = 100_000_000
SLICE_NS: Final = 50_000_000
"""The grain of the recovery curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """Whether the load was offered as planned.

    Attributes:
        dropped: arrivals that were not sent, because too many were open.
        unsent: arrivals that were not reached.
        late: arrivals that were sent more than 10 ms late, though the pool did not keep the generator from it.
        lag_p99_ms, lag_max_ms: how late they were sent, whoever's fault it was.
        behind_ms: how late the last one was sent.
        planned: how many were due.
    """

    planned: int
    dropped: int
    unsent: int
    late: int
    lag_p99_ms: float
    lag_max_ms: float
    behind_ms: float

    def reasons(self) -> Iterator[str]:
        """Yield why the result is void; nothing if it is not."""
        if self.dropped:
            yield f"{self.dropped:,} of {self.planned:,} arrivals were dropped: too many operations were open"
        if self.unsent:
            yield f"{self.unsent:,} of {self.planned:,} arrivals were never sent"
        if self.late > LATE_SHARE * self.planned:
            yield (
                f"the generator could not keep up: {self.late:,} of {self.planned:,} arrivals were sent more"
                f" than {LATE_NS // 1_000_000} ms late, and not because of the pool"
            )
        if self.behind_ms * 1e6 > BEHIND_NS:
            yield (
                f"the generator could not keep up: it sent the last arrival {self.behind_ms / 1e3:.1f} s late;"
                " it shares a processor with its pool"
            )


class Tally:
    """Takes rows as they come, in any order.

    Args:
        times: when each arrival is due, in nanoseconds after `zero`; None for a closed load, in which
            an operation is due when it is sent.
        zero: when the load began.
    """

    def __init__(self, times: "array[int] | None", zero: int) -> None:
        self._times, self.zero = times, zero
        self.latencies, self.service = Histogram(), Histogram()
        self.errors: Counter[int] = Counter()
        self.answered = self.dropped = self.sent = 0
        self.good: Counter[int] = Counter()
        self.bad: list[int] = []
        self._by_second: dict[int, array[int]] = {}
        self._failed_by_second: Counter[int] = Counter()
        self._done_by_second: Counter[int] = Counter()
        self._lag = Histogram()
        self._late: list[tuple[int, int]] = []
        self._excuses: list[tuple[int, int]] = []
        self._blocked: list[tuple[int, int]] = []
        self._seen = bytearray(len(times)) if times is not None else bytearray()
        self._last_lag = (-1, 0)
        self.bytes_taken = 0

    @property
    def planned(self) -> int:
        """How many arrivals are planned; 0 in a closed load, which plans none."""
        return len(self._times) if self._times is not None else 0

    def due_by(self, seconds: float) -> int:
        """Return how many arrivals are due by then; in a closed load those that have ended."""
        if self._times is None:
            return self.sent
        return bisect.bisect_right(self._times, int(seconds * NS))

    def take(self, rows: Sequence[int]) -> None:
        """Take whole rows of four."""
        latencies: list[int] = []
        service: list[int] = []
        lags: list[int] = []
        for number, sent, done, outcome in zip(*[iter(rows)] * 4, strict=True):
            if outcome in (BLOCKED, BUSY):
                self._excuse(sent, done, outcome)
                continue
            due = self._due(number, sent)
            if outcome == DROPPED:
                self.dropped += 1
                continue
            self.sent += 1
            lags.append(sent - due)
            self._note_lag(number, due, sent)
            if outcome == OK:
                latencies.append(done - due)
                service.append(done - sent)
                self._note_answer(due, done)
            else:
                self._note_error(due, done, outcome)
        self.latencies.record(latencies)
        self.service.record(service)
        self._lag.record(lags)

    def _excuse(self, since: int, until: int, outcome: int) -> None:
        self._excuses.append((since, until))
        if outcome == BLOCKED:
            self._blocked.append((since, until))

    def _due(self, number: int, sent: int) -> int:
        if self._times is None:
            return sent
        self._seen[number] = 1
        return self._times[number] + self.zero

    def _note_lag(self, number: int, due: int, sent: int) -> None:
        if number > self._last_lag[0]:
            self._last_lag = (number, sent - due)
        if sent - due > LATE_NS:
            self._late.append((due, sent))

    def _note_answer(self, due: int, done: int) -> None:
        self.answered += 1
        self.good[(done - self.zero) // SLICE_NS] += 1
        second = (due - self.zero) // NS
        if second not in self._by_second:
            self._by_second[second] = array("Q")
        self._by_second[second].append(done - due)
        self._done_by_second[(done - self.zero) // NS] += 1

    def _note_error(self, due: int, done: int, outcome: int) -> None:
        self.errors[outcome] += 1
        self.bad.append(done)
        self._failed_by_second[(due - self.zero) // NS] += 1
        self._done_by_second[(done - self.zero) // NS] += 1

    def close(self, until: int, sent: int) -> int:
        """Count what has no end by `until` as having taken at least so long; return how many of it there is.

        Args:
            until: when nothing more was waited for.
            sent: how many the generator says that it sent, the dropped ones among them.
        """
        if self._times is None:
            return max(0, sent - self.sent - self.dropped)
        open_ = [n for n in range(min(sent, len(self._times))) if not self._seen[n]]
        waited = [until - self._times[n] - self.zero for n in open_]
        self.latencies.record(waited)
        for number, took in zip(open_, waited, strict=True):
            second = self._times[number] // NS
            self._by_second.setdefault(second, array("Q")).append(max(took, 0))
        return len(open_)

    def offered(self, sent: int, *, cut: bool = False) -> Offered:
        """Tell whether the load was offered as planned; one that was cut short need not have been sent whole."""
        planned = len(self._times) if self._times is not None else self.sent
        self._excuses.sort(key=lambda span: span[1])
        p99, longest = self._lag.percentiles_ms([99, 100])
        return Offered(
            planned=planned,
            dropped=self.dropped,
            unsent=0 if cut or self._times is None else planned - sent,
            late=sum(1 for late in self._late if self._at_fault(*late)),
            lag_p99_ms=p99,
            lag_max_ms=longest,
            behind_ms=0.0 if self._blocked_last() else self._last_lag[1] / 1e6,
        )

    def _at_fault(self, due: int, sent: int) -> bool:
        """Tell whether an arrival was late though the pool did not keep the generator from sending.

        After a time in which it did, the generator may take as long to catch up, and a little.
        """
        place = bisect.bisect_right(self._excuses, sent, key=lambda span: span[1]) - 1
        if place < 0:
            return True
        began, ended = self._excuses[place]
        return max(due, ended + (ended - began) + CATCH_UP_NS) + LATE_NS < sent

    def _blocked_last(self) -> bool:
        """Tell whether the pool's submit took most of the time that the last arrival was late."""
        number, lag = self._last_lag
        if self._times is None or number < 0 or lag <= 0:
            return False
        due = self._times[number] + self.zero
        inside = sum(max(0, end - max(begin, due)) for begin, end in self._blocked)
        return inside > lag / 2

    def seconds(self) -> list[dict[str, float]]:
        """Return the series, a row for each second: due, answered, failed, waiting at its end, p50, p99, max."""
        dues = self._dues()
        last = max([*dues, *self._by_second, *self._done_by_second], default=-1)
        rows: list[dict[str, float]] = []
        waiting = 0
        for second in range(last + 1):
            took = sorted(self._by_second.get(second, ()))
            waiting += dues[second] - self._done_by_second[second]
            rows.append(
                {
                    "second": second,
                    "due": dues[second],
                    "answered": self._done_by_second[second],
                    "failed": self._failed_by_second[second],
                    "waiting": waiting,
                    **_percentiles(took),
                }
            )
        while rows and not rows[-1]["due"] and not rows[-1]["answered"]:
            rows.pop()
        return rows

    def _dues(self) -> Counter[int]:
        if self._times is None:
            return self._done_by_second
        return Counter(due // NS for due in self._times)

    def error_counts(self, names: Mapping[int, str]) -> dict[str, int]:
        """Return how many errors there were, by their names."""
        return {names.get(code, f"error {code}"): n for code, n in self.errors.most_common()}


def _percentiles(took: Sequence[int]) -> dict[str, float]:
    if not took:
        return {}
    return {
        "p50_ms": percentile(took, 50) / 1e6,
        "p99_ms": percentile(took, 99) / 1e6,
        "max_ms": took[-1] / 1e6,
    }
