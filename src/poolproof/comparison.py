"""Is one thing faster than another? A verdict by interleaved pairs and a bootstrap interval, never by one number.

What is compared is the ratio of the new to the old, as the trimmed mean of its logarithms: of each pair where the two
were measured in turns, so that what the machine does to both drops out; else of all to all. The standard error is had
by B. Efron's bootstrap (Annals of Statistics 7, 1979), the interval from it by Student's t with the degrees of freedom
of a trimmed mean (J. W. Tukey, D. H. McLaughlin, Sankhya A 25, 1963): percentiles of the bootstrap alone are too narrow
for 20 pairs (measured: 5 false verdicts in 50).
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from poolproof.stats import wilson

Verdict = Literal["faster", "same", "slower", "inconclusive"]

EFFECT: Final = 0.025
"""The least change that is one; what is certainly smaller, either way, is `same`."""
CONFIDENCE: Final = 0.99
"""Of the interval."""
RESAMPLES: Final = 400
TRIM: Final = 0.2
"""The share of the lowest, and of the highest, that is left out: a neighbour on the machine makes outliers."""
LEAST_PAIRS: Final = 15
LOOKS: Final = ((20, 0.999), (40, 0.998), (80, 0.995), (160, 0.99))
"""After how many pairs a growing comparison looks whether it is decided, and how sure it must be; 0.018 in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is known of new against old.

    Attributes:
        verdict: `faster` or `slower`, where the interval leaves no doubt that there is a change, and the ratio is one
            that counts; `same`, where the whole interval is below what counts; else `inconclusive`.
        ratio: the new time over the old; above 1 is slower. Of shares, 1 plus their difference.
        low, high: its interval.
        samples: how many pairs, or of the fewer of two sets.
    """

    verdict: Verdict
    ratio: float
    low: float
    high: float
    samples: int


def compare_pairs(
    pairs: Sequence[tuple[float, float]],
    *,
    effect: float = EFFECT,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Compare the times of old and new that were measured in turns.

    Args:
        pairs: (old, new), each a time above 0, or anything of which less is better.
        effect: the least relative change that counts.
        confidence: of the interval.
        seed: of the bootstrap.

    Raises:
        ValueError: a time is not above 0.
    """
    _check([value for pair in pairs for value in pair])
    logs = [math.log(new / old) for old, new in pairs]

    def draw(rng: Random) -> float:
        return trimmed_mean(rng.choices(logs, k=len(logs)))

    return _compared(len(logs), lambda: trimmed_mean(logs), draw, effect, confidence, seed)


def compare_samples(
    old: Sequence[float],
    new: Sequence[float],
    *,
    effect: float = EFFECT,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Compare the times of old and new that were measured at different times; see `compare_pairs`.

    What the machine did between them does not drop out, so they should be ratios to a calibration.
    """
    _check([*old, *new])
    before, after = ([math.log(value) for value in values] for values in (old, new))

    def draw(rng: Random) -> float:
        resampled = (rng.choices(values, k=len(values)) for values in (before, after))
        lower, upper = map(trimmed_mean, resampled)
        return upper - lower

    return _compared(
        min(len(old), len(new)),
        lambda: trimmed_mean(after) - trimmed_mean(before),
        draw,
        effect,
        confidence,
        seed,
    )


def compare_shares(
    old: Sequence[bool],
    new: Sequence[bool],
    *,
    effect: float = EFFECT,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Compare how often something happened that had better not happen.

    The interval of the difference is R. G. Newcombe's hybrid of two score intervals (Statistics in Medicine 17, 1998,
    method 10), which knows that what has not happened in 20 tries may yet happen in the next.

    Args:
        old: of each try then, whether it happened; one at least.
        new: of each try now.
        effect: the least difference of the shares that counts.
        confidence: of the interval.
    """
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    (then, least_then, most_then), (now, least_now, most_now) = (
        (sum(tries) / len(tries), *wilson(sum(tries), len(tries), z)) for tries in (old, new)
    )
    low = now - then - math.hypot(now - least_now, most_then - then)
    high = now - then + math.hypot(most_now - now, then - least_then)
    ratio, low, high = 1 + now - then, 1 + low, 1 + high
    verdict = judge(ratio, low, high, effect)
    return Comparison(
        verdict=verdict, ratio=ratio, low=low, high=high, samples=min(len(old), len(new))
    )


def _check(values: Sequence[float]) -> None:
    if any(not 0 < value < math.inf for value in values):
        raise ValueError("expected times above 0, got one that is not")


def _compared(  # noqa: PLR0917 - two ways to one formula
    samples: int,
    middle: Callable[[], float],
    draw: Callable[[Random], float],
    effect: float,
    confidence: float,
    seed: int,
) -> Comparison:
    if samples < LEAST_PAIRS:
        return Comparison(
            verdict="inconclusive", ratio=math.nan, low=0.0, high=math.inf, samples=samples
        )
    rng = Random(seed)  # noqa: S311 - chance, no secret
    error = statistics.stdev(draw(rng) for _ in range(RESAMPLES))
    freedom = samples - 2 * int(TRIM * samples) - 1
    wide, found = student(confidence, freedom) * error, middle()
    ratio, low, high = (math.exp(value) for value in (found, found - wide, found + wide))
    return Comparison(
        verdict=judge(ratio, low, high, effect), ratio=ratio, low=low, high=high, samples=samples
    )


def student(confidence: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t: R. A. Fisher's expansion, within 2 % from 8 degrees of freedom."""
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def judge(ratio: float, low: float, high: float, effect: float = EFFECT) -> Verdict:
    """Return the verdict on a ratio and its interval."""
    if 1 / (1 + effect) < low and high < 1 + effect:
        return "same"
    if low > 1 and ratio >= 1 + effect:
        return "slower"
    if high < 1 and ratio <= 1 / (1 + effect):
        return "faster"
    return "inconclusive"


def trimmed_mean(values: Sequence[float], trim: float = TRIM) -> float:
    """Return the mean of what is left without the lowest and the highest share."""
    ordered = sorted(values)
    cut = int(trim * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    return math.fsum(kept) / len(kept)


class Deciding:
    """A comparison that grows: measure as many pairs as it wants, hand them over, until it wants no more.

    Args:
        looks: how many pairs there are each time that it looks, and the confidence that is asked for then.
        effect: as in `compare_pairs`.
        seed: of the bootstrap.

    Attributes:
        pairs: all that were taken.
        found: what is known so far.
    """

    def __init__(
        self,
        *,
        looks: Sequence[tuple[int, float]] = LOOKS,
        effect: float = EFFECT,
        seed: int = 0,
    ) -> None:
        self._looks, self._effect, self._seed = list(looks), effect, seed
        self.pairs: list[tuple[float, float]] = []
        self.found = compare_pairs([])

    @property
    def wanted(self) -> int:
        """How many more pairs it wants before it looks again; 0 if it is decided, or there are as many as may be."""
        if self.found.verdict != "inconclusive" or not self._looks:
            return 0
        return self._looks[0][0] - len(self.pairs)

    def take(self, pairs: Sequence[tuple[float, float]]) -> None:
        """Take pairs of (old, new), and look if there are enough."""
        self.pairs += pairs
        if self._looks and len(self.pairs) >= self._looks[0][0]:
            _, confidence = self._looks.pop(0)
            self.found = compare_pairs(
                self.pairs, effect=self._effect, confidence=confidence, seed=self._seed
            )


def decide(
    measure: Callable[[int], Sequence[tuple[float, float]]], *, effect: float = EFFECT
) -> Comparison:
    """Measure pairs until the verdict is certain, or there are as many as may be; see `Deciding`.

    Args:
        measure: returns so many more pairs of (old, new).
        effect: as in `compare_pairs`.
    """
    deciding = Deciding(effect=effect)
    while wanted := deciding.wanted:
        deciding.take(measure(wanted))
    return deciding.found
