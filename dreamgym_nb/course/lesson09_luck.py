"""Exercises 3 to 5 of lesson 09: differences and luck, gains and choices, and claims.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, median, pstdev, stdev

from .exercises import Exercise, Wrong

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"

# ---- 3: a difference that may be none ----

Scores = Mapping[int, float]  # by seed
Quantiles = Mapping[int, float]  # by number of pairs


def differs(a: Scores, b: Scores, t: Quantiles) -> str:
    """The reference: the 95% interval of the mean difference over the seeds that both have."""
    pairs = [a[seed] - b[seed] for seed in a if seed in b]
    half = t[len(pairs)] * stdev(pairs) / math.sqrt(len(pairs))
    return _which(fmean(pairs), half)


def _which(mean: float, half: float) -> str:
    return "a" if mean - half > 0 else "b" if mean + half < 0 else UNDECIDED


def _compares_means(a: Scores, b: Scores, t: Quantiles) -> str:
    return _which(fmean(a.values()) - fmean(b.values()), 0.0)


def _does_not_pair(a: Scores, b: Scores, t: Quantiles) -> str:
    both = [s for s in a if s in b]
    x, y = [a[s] for s in both], [b[s] for s in both]
    half = t[len(both)] * math.sqrt((stdev(x) ** 2 + stdev(y) ** 2) / len(both))
    return _which(fmean(x) - fmean(y), half)


def _pairs_by_place(a: Scores, b: Scores, t: Quantiles) -> str:
    pairs = dict(enumerate(x - y for x, y in zip(a.values(), b.values(), strict=False)))
    return differs(pairs, dict.fromkeys(pairs, 0.0), t)


def _takes_two(a: Scores, b: Scores, t: Quantiles) -> str:
    return differs(a, b, dict.fromkeys(t, 1.96))


def _forgets_the_root(a: Scores, b: Scores, t: Quantiles) -> str:
    return differs(a, b, {n: q * math.sqrt(n) for n, q in t.items()})


def _population(a: Scores, b: Scores, t: Quantiles) -> str:
    pairs = [a[seed] - b[seed] for seed in a if seed in b]
    return _which(fmean(pairs), t[len(pairs)] * pstdev(pairs) / math.sqrt(len(pairs)))


def _one_less_again(a: Scores, b: Scores, t: Quantiles) -> str:
    pairs = [a[seed] - b[seed] for seed in a if seed in b]
    return _which(fmean(pairs), t[len(pairs) - 1] * stdev(pairs) / math.sqrt(len(pairs)))


def _every_seed_says_so(a: Scores, b: Scores, t: Quantiles) -> str:
    pairs = [a[seed] - b[seed] for seed in a if seed in b]
    return "a" if min(pairs) > 0 else "b" if max(pairs) < 0 else UNDECIDED


T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's 0.975 quantile for so many pairs (one degree of freedom less)."""

DIFFERS = Exercise(
    name="differs",
    title="tell a difference from luck, paired by seed",
    solution=differs,
    cases=lambda: [
        ({0: 0.5, 1: 0.4}, {0: 0.4, 1: 0.45}, T),
        ({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.3}, T),
        ({0: 0.41, 1: 0.60}, {0: 0.40, 1: 0.30}, T),
        ({0: 0.62, 1: 0.50}, {0: 0.50, 1: 0.40}, T),
        ({0: 0.30, 1: 0.50, 2: 0.70}, {0: 0.25, 1: 0.44, 2: 0.65}, T),
        ({0: 0.6, 1: 0.4, 2: 0.8}, {2: 0.9, 0: 0.7, 1: 0.5}, T),
        ({0: 0.50, 1: 0.56, 2: 0.53}, {0: 0.45, 1: 0.47, 2: 0.51}, T),
        ({0: 0.50, 1: 0.50, 2: 0.50, 3: 0.50}, {0: 0.42, 1: 0.46, 2: 0.44, 3: 0.48}, T),
    ],
    describe=lambda a, b, t: f"a {dict(a)}, b {dict(b)}",
    wrong=(
        Wrong(
            "compares the means",
            _compares_means,
            "One of two means is always the higher one. The question is whether it would be with "
            "other seeds, and only the spread knows.",
        ),
        Wrong(
            "does not pair",
            _does_not_pair,
            "A seed is a world: an easy one is easy for both. Subtract within the seed first, and "
            "that part of the spread is gone.",
        ),
        Wrong(
            "pairs by place",
            _pairs_by_place,
            "The first number of a and the first of b may be of different seeds. Ask for the seed, "
            "not for the place.",
        ),
        Wrong(
            "takes 1.96",
            _takes_two,
            "1.96 is for a spread that is known. Of three seeds it is guessed itself, and "
            "Student's t pays for that: 4.3 instead of 1.96.",
        ),
        Wrong(
            "forgets the root",
            _forgets_the_root,
            "A mean of n seeds scatters less than one of them, by √n. Without it no number of "
            "seeds would ever be enough.",
        ),
        Wrong(
            "the population's deviation",
            _population,
            "The deviation is guessed from the same few seeds as the mean, so it divides by n − 1. "
            "numpy's `std` divides by n unless it is told `ddof=1`.",
        ),
        Wrong(
            "one less again",
            _one_less_again,
            "t[n] is the quantile for n pairs: that it has n − 1 degrees of freedom is in the "
            "table already.",
        ),
        Wrong(
            "every seed says so",
            _every_seed_says_so,
            "Two seeds of equal methods point the same way every other time. How far apart they "
            "lie counts, not only on which side.",
        ),
    ),
)

# ---- 4: fix the bug: the best seed ----


def gain(ours: Scores, theirs: Scores) -> float:
    """The reference: the mean of ours minus that of theirs, over the seeds that both have."""
    return fmean(ours[s] - theirs[s] for s in ours if s in theirs)


def gain_with_bug(ours: Scores, theirs: Scores) -> float:
    """What stands in the notebook: the best seed of each."""
    return max(ours.values()) - max(theirs.values())


def _best_against_mean(ours: Scores, theirs: Scores) -> float:
    return max(ours.values()) - fmean(theirs.values())


def _all_of_each(ours: Scores, theirs: Scores) -> float:
    return fmean(ours.values()) - fmean(theirs.values())


def _without_the_failed(ours: Scores, theirs: Scores) -> float:
    return gain({s: x for s, x in ours.items() if x > 0}, theirs)


def _middle(ours: Scores, theirs: Scores) -> float:
    return median(ours[s] - theirs[s] for s in ours if s in theirs)


def _best_pair(ours: Scores, theirs: Scores) -> float:
    return max(ours[s] - theirs[s] for s in ours if s in theirs)


def _summed(ours: Scores, theirs: Scores) -> float:
    return sum(ours[s] - theirs[s] for s in ours if s in theirs)


GAIN = Exercise(
    name="gain",
    title="fix the bug: report a gain without choosing the seed",
    solution=gain,
    cases=lambda: [
        ({0: 0.5, 1: 0.7}, {0: 0.5, 1: 0.5}),
        ({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.6}),
        ({0: 0.0, 1: 0.6, 2: 0.9}, {0: 0.3, 1: 0.3, 2: 0.3}),
        ({0: 0.5, 1: 0.9}, {0: 0.4, 1: 0.6, 2: 0.2}),
    ],
    describe=lambda ours, theirs: f"ours {dict(ours)}, theirs {dict(theirs)}",
    bug=gain_with_bug,
    wrong=(
        Wrong(
            "our best against their mean",
            _best_against_mean,
            "With enough seeds this is a gain for any method, itself included. What is chosen on "
            "one side must be chosen on the other, and best not at all.",
        ),
        Wrong(
            "all seeds of each",
            _all_of_each,
            "A seed that only one side has may be an easy world. Compare on the seeds that both "
            "have.",
        ),
        Wrong(
            "without the failed ones",
            _without_the_failed,
            "A run that failed is a result of the method, not an accident of the reporter. Left "
            "out, the mean tells of lucky runs.",
        ),
        Wrong(
            "the middle one",
            _middle,
            "A median may be reported, and says so. But it hides the runs that fail, and this "
            "function promises the mean.",
        ),
        Wrong(
            "the best pair",
            _best_pair,
            "Subtracting within the seed is right. But the maximum still chooses: it grows with "
            "every further seed, for any method. Take the mean.",
        ),
        Wrong(
            "the sum",
            _summed,
            "Divide by the number of seeds that both have, or a method gains by being run more "
            "often.",
        ),
    ),
)

# ---- 5: the verdict on a claim ----


def verdict(low: float, mean: float, high: float, bound: float) -> str:
    """The reference: on "at least `bound`", by the whole interval."""
    return HOLDS if low >= bound else FAILS if high < bound else UNDECIDED


def _by_the_mean(low: float, mean: float, high: float, bound: float) -> str:
    return HOLDS if mean >= bound else FAILS


def _not_shown_is_false(low: float, mean: float, high: float, bound: float) -> str:
    return HOLDS if low >= bound else FAILS


def _not_refuted_is_true(low: float, mean: float, high: float, bound: float) -> str:
    return FAILS if high < bound else HOLDS


def _asks_about_nothing(low: float, mean: float, high: float, bound: float) -> str:
    return HOLDS if low > 1 else FAILS if high < 1 else UNDECIDED


def _more_than_the_bound(low: float, mean: float, high: float, bound: float) -> str:
    return HOLDS if low > bound else FAILS if high < bound else UNDECIDED


def _the_bound_refutes(low: float, mean: float, high: float, bound: float) -> str:
    return HOLDS if low >= bound else FAILS if high <= bound else UNDECIDED


VERDICT = Exercise(
    name="verdict",
    title="the verdict on a claim: holds, does not hold, undecided",
    solution=verdict,
    cases=lambda: [
        (1.5, 1.6, 1.7, 1.3),
        (0.8, 0.9, 1.0, 1.3),
        (1.2, 1.4, 1.6, 1.3),
        (1.1, 1.2, 1.4, 1.3),
        (1.05, 1.1, 1.2, 1.3),
        (1.3, 1.5, 1.7, 1.3),
        (0.9, 1.1, 1.3, 1.3),
    ],
    describe=lambda low, mean, high, bound: (
        f"a ratio of {mean:g} (95% interval {low:g} to {high:g}), the claim: at least {bound:g}"
    ),
    wrong=(
        Wrong(
            "by the mean",
            _by_the_mean,
            "The mean lies on one side of the bound in every case, so it would always decide. The "
            "interval says how far to trust it.",
        ),
        Wrong(
            "not shown is false",
            _not_shown_is_false,
            "Too few seeds are no evidence against a claim. Only an interval that lies below the "
            "bound altogether refutes it.",
        ),
        Wrong(
            "not refuted is true",
            _not_refuted_is_true,
            "With one seed nothing could ever be refuted. A claim holds when the whole interval "
            "says so.",
        ),
        Wrong(
            "asks whether there is any effect",
            _asks_about_nothing,
            "The claim has a bound of its own: 1.3 times as good is more than better. Compare with "
            "the bound, not with no effect.",
        ),
        Wrong(
            "more than the bound",
            _more_than_the_bound,
            "At least means ≥: a ratio of exactly the bound fulfils the claim, so an interval that "
            "begins there is on its side altogether.",
        ),
        Wrong(
            "the bound itself refutes",
            _the_bound_refutes,
            "At least means ≥: a ratio of exactly the bound fulfils the claim. An interval that "
            "ends there does not exclude it, and decides nothing.",
        ),
    ),
)
