"""What workers use, by the second: memory as it was at its end, processor time since the second before."""

import pytest

from poolproof.load.sampling import by_second
from poolproof.watch.procfs import TICKS_PER_SECOND

pytestmark = pytest.mark.unit

S = 1_000_000_000


def test_each_second_has_its_own_memory_and_its_own_share_of_the_processor() -> None:
    half = TICKS_PER_SECOND // 2
    looks = [
        (10 * S, {7: (900, 20.0)}),
        (10 * S + S // 2, {7: (900 + half // 2, 50.0)}),
        (11 * S, {7: (900 + half, 30.0)}),
        (12 * S, {7: (900 + 3 * half, 30.0), 8: (half // 2, 10.0)}),
    ]
    found = by_second(looks, 10 * S)
    percents = [[round(use.cpu_percent) for use in found[second]] for second in range(3)]

    assert [(use.pid, use.rss_mb) for use in found[0]] == [(7, 50.0)]
    assert percents == [[50], [50], [100, 25]]


def test_a_second_without_a_look_has_no_row() -> None:
    assert set(by_second([(S, {7: (0, 1.0)}), (4 * S, {7: (9, 1.0)})], 0)) == {1, 4}
    assert by_second([], 0) == {}
