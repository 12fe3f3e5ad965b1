"""What is tried again, after how long, and when it is enough."""

import asyncio
from random import Random
from typing import cast

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from poolproof import simulation
from poolproof.categories import CATEGORIES, Category
from poolproof.errors import (
    ErrorContext,
    PoolError,
    RemoteError,
    StartFailedError,
    WorkerDiedError,
)
from poolproof.pool.retrying import (
    Attempt,
    Custom,
    Decision,
    Delays,
    Tries,
    decide,
    delay_ns,
    growth_ns,
)

pytestmark = pytest.mark.unit

MS = 1_000_000
PLAIN = Delays(jitter=0)
CATEGORY = st.sampled_from(sorted(CATEGORIES))


def failure(category: str, *, happened: bool = False) -> PoolError:
    error = PoolError(f"a failure of {category}", may_have_happened=happened)
    error.category = CATEGORIES[category]
    return error


def judged(error: PoolError, tries: Tries, **given: bool) -> Decision:
    return decide(error, tries, now_ns=1, deadline_ns=0, rng=Random(1), delays=PLAIN, **given)


def delays_of(category: str, retries: int) -> list[float]:
    error = failure(category)
    return [
        delay_ns(error, Tries(retries=retry), PLAIN, Random(1)) / MS for retry in range(retries)
    ]


def test_backoff_retries_after_1_2_4_8_and_16_seconds() -> None:
    assert delays_of("connection", 5) == [1000, 2000, 4000, 8000, 16_000]


def test_immediate_retries_after_0_100_and_200_milliseconds() -> None:
    assert delays_of("communication", 3) == [0, 100, 200]


def test_health_is_checked_again_after_a_linear_delay() -> None:
    assert delays_of("health_check", 3) == [1000, 2000, 3000]


@pytest.mark.parametrize("category", ["session", "resource", "python"])
def test_category_without_backoff_does_not_wait(category: str) -> None:
    assert delays_of(category, 2) == [0, 0]


def test_fibonacci_backoff_is_fibonacci_s() -> None:
    found = [growth_ns("fibonacci", retry, PLAIN) // (1000 * MS) for retry in range(1, 8)]

    assert found == [1, 1, 2, 3, 5, 8, 13]


@given(
    retry=st.integers(1, 10_000), backoff=st.sampled_from(["linear", "exponential", "fibonacci"])
)
def test_no_delay_is_longer_than_its_cap(retry: int, backoff: str) -> None:
    category = Category("system", "minor", "backoff_retry", 9, backoff)  # type: ignore[arg-type]

    assert 0 <= growth_ns(category.backoff, retry, PLAIN) <= PLAIN.cap_ns


@given(seed=st.integers(0, 10**6), retries=st.integers(0, 4), share=st.floats(0, 1))
def test_jitter_takes_off_no_more_than_its_share(seed: int, retries: int, share: float) -> None:
    error, tries = failure("connection"), Tries(retries=retries)
    full = delay_ns(error, tries, PLAIN, Random(seed))

    found = delay_ns(error, tries, Delays(jitter=share), Random(seed))

    assert full * (1 - share) - 1 <= found <= full


@given(seed=st.integers(0, 10**6), last=st.integers(0, 30_000 * MS))
def test_decorrelated_jitter_lies_between_the_base_and_three_times_the_last_delay(
    seed: int, last: int
) -> None:
    error = failure("system")
    error.category = Category("system", "minor", "backoff_retry", 9, "decorrelated")

    found = delay_ns(error, Tries(delay_ns=last), PLAIN, Random(seed))

    assert PLAIN.base_ns <= found <= min(PLAIN.cap_ns, max(PLAIN.base_ns, 3 * last) * 3)


def test_decorrelated_growth_without_chance_is_its_base() -> None:
    assert growth_ns("decorrelated", 5, PLAIN) == PLAIN.base_ns


def test_equal_seeds_give_equal_delays() -> None:
    one, other = (
        [delay_ns(failure("connection"), Tries(), Delays(), rng) for _ in range(5)]
        for rng in (Random(7), Random(7))
    )

    assert one == other
    assert len(set(one)) == 5


def test_custom_backoff_is_told_the_attempt_and_kept_within_the_cap() -> None:
    told: list[int] = []

    def custom(attempt: Attempt) -> float:
        told.append(attempt.attempt_number)
        return 1000.0 if len(told) > 1 else 0.25

    delays = Delays(custom=custom)
    found = [delay_ns(failure("python"), Tries(retries=n), delays, Random(1)) for n in range(2)]

    assert told == [1, 2]
    assert found == [250 * MS, delays.cap_ns]


@pytest.mark.parametrize("category", sorted(set(CATEGORIES) - {"system"}))
def test_what_may_have_happened_is_not_tried_again_unasked(category: str) -> None:
    error = failure(category, happened=True)

    assert judged(error, Tries())[:2] == ("give_up", "may_have_happened")
    assert judged(error, Tries(), idempotent=True).verdict != "give_up"


@given(
    category=CATEGORY,
    idempotent=st.booleans(),
    happened=st.booleans(),
    all_workers=st.booleans(),
    seed=st.integers(0, 99),
)
def test_no_category_is_tried_more_often_than_it_may(
    category: str, *, idempotent: bool, happened: bool, all_workers: bool, seed: int
) -> None:
    """A job that fails each time in the same way comes to its end."""
    error, tries, rng, now_ns = failure(category, happened=happened), Tries(), Random(seed), 1
    for _ in range(100):
        decision = decide(
            error,
            tries,
            now_ns=now_ns,
            deadline_ns=0,
            rng=rng,
            idempotent=idempotent,
            all_workers=all_workers,
        )
        if decision.verdict == "give_up":
            break
        tries = decision.tries
        now_ns += decision.delay_ns
    else:
        raise AssertionError("it is tried for ever")

    assert tries.retries <= CATEGORIES[category].max_retries
    if happened and not idempotent:
        assert tries.retries == 0


# How often a job of each category is tried again when it fails each time and time does not run out.
# The fifth retry of a connection is forbidden by another rule of the plan: after four it is critical,
# and what is critical is given up after more than two.
@pytest.mark.parametrize(
    ("category", "retries", "reason"),
    [
        ("initialization", 3, "retries"),
        ("connection", 4, "critical"),
        ("communication", 3, "retries"),
        ("timeout", 2, "retries"),
        ("resource", 1, "retries"),
        ("health_check", 3, "retries"),
        ("session", 2, "retries"),
        ("python", 1, "retries"),
        ("system", 0, "abandon"),
    ],
)
def test_each_category_is_tried_as_often_as_this(category: str, retries: int, reason: str) -> None:
    tries = Tries()
    while (decision := judged(failure(category), tries)).verdict != "give_up":
        tries = decision.tries

    assert (decision.tries.retries, decision.reason) == (retries, reason)


def test_retry_that_would_miss_the_deadline_is_not_begun() -> None:
    error = failure("connection")

    in_time, late = (
        decide(error, Tries(), now_ns=5, deadline_ns=at, rng=Random(1), delays=PLAIN)
        for at in (1000 * MS + 6, 1000 * MS + 5)
    )

    assert in_time.verdict == "retry"
    assert late[:2] == ("give_up", "deadline")


@pytest.mark.parametrize(("user_facing", "verdict"), [(False, "retry"), (True, "give_up")])
def test_budget_is_halved_when_a_user_waits(*, user_facing: bool, verdict: str) -> None:
    tries = Tries(retries=1, since_ns=1)

    decision = decide(
        failure("connection"),
        tries,
        now_ns=20_000 * MS,
        deadline_ns=0,
        rng=Random(1),
        user_facing=user_facing,
        delays=PLAIN,
    )

    assert decision.verdict == verdict
    assert verdict == "retry" or decision.reason == "budget"


def test_first_failure_starts_the_budget() -> None:
    assert decide(
        failure("connection"), Tries(), now_ns=77, deadline_ns=0, rng=Random(1)
    ).tries.since_ns == (77)


def test_when_all_workers_are_affected_it_is_critical() -> None:
    decision = judged(failure("connection"), Tries(), all_workers=True)

    assert decision.severity == "critical"


def test_hundred_errors_at_once_never_mix_their_contexts_nor_exceed_their_retries() -> None:
    """A hundred jobs fail in turns on one loop; a death hands one error to several of them."""
    rng = Random(4)
    shared = WorkerDiedError("killed", may_have_happened=False)
    kinds = [failure(name) for name in sorted(CATEGORIES)] + [RemoteError("E", "e"), shared]
    ended: dict[int, tuple[ErrorContext, int]] = {}

    async def job(number: int) -> None:
        tries, error = Tries(), kinds[number % len(kinds)]
        while True:
            await simulation.advance(rng.random())
            failed = error.at(
                attempt=tries.retries + 1, worker=number, session=f"s{number}", layer="mock"
            )
            now_ns = round(asyncio.get_running_loop().time() * 1e9)
            decision = decide(failed, tries, now_ns=now_ns, deadline_ns=0, rng=rng)
            tries = decision.tries
            if decision.verdict == "give_up":
                assert failed.context
                ended[number] = failed.context, tries.retries
                return
            await simulation.advance(decision.delay_ns / 1e9)

    async def everybody() -> None:
        await asyncio.gather(*(job(number) for number in range(100)))

    simulation.run(everybody())

    assert len(ended) == 100
    for number, (context, retries) in ended.items():
        assert (context.worker, context.session) == (number, f"s{number}")
        assert context.category == kinds[number % len(kinds)].category.name
        assert context.attempt == retries + 1
        assert retries <= CATEGORIES[context.category].max_retries


def test_errors_that_share_one_object_would_mix_their_contexts() -> None:
    """What the test above looks for can be seen: without a copy, the last context stands in all."""

    class SharedError(StartFailedError):
        def _copied(self) -> "SharedError":
            return self

    error = SharedError("one for all")
    contexts = [error.at(worker=number) for number in range(3)]

    assert [one.context.worker for one in contexts if one.context] == [2, 2, 2]


@pytest.mark.parametrize("retry", range(1, 8))
def test_growth_is_that_of_a_well_kept_library(retry: int) -> None:
    """Tenacity's strategies look only at the number of the attempt."""
    state = cast("tenacity.RetryCallState", Attempt(retry))
    exponential = tenacity.wait_exponential(multiplier=1, max=30)
    linear = tenacity.wait_incrementing(start=1, increment=1, max=30)

    assert growth_ns("exponential", retry, PLAIN) == exponential(state) * 1000 * MS
    assert growth_ns("linear", retry, PLAIN) == linear(state) * 1000 * MS


def test_strategy_of_the_library_is_a_custom_backoff_as_it_is() -> None:
    wait = tenacity.wait_chain(*[tenacity.wait_fixed(seconds) for seconds in (1, 2)])
    custom = Delays(custom=cast("Custom", wait))

    found = [delay_ns(failure("python"), Tries(retries=n), custom, Random(1)) for n in range(3)]

    assert found == [1000 * MS, 2000 * MS, 2000 * MS]
