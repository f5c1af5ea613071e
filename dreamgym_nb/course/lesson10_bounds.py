"""Lesson 10, the exercises on the bounds: the two errors of Lemma 1, the promise of Theorem 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .exercises import Exercise, Wrong

# ---- the two errors ----

Entry = tuple[float, Mapping[str, float]]
Pairs = Sequence[tuple[Entry, Entry]]


def worst_errors(pairs: Pairs) -> tuple[float, float]:
    """The reference: the largest error of a reward, the largest total variation."""
    rewards, moves = [0.0], [0.0]
    for (r, p), (r_dream, q) in pairs:
        rewards.append(abs(r - r_dream))
        moves.append(sum(abs(p.get(s, 0.0) - q.get(s, 0.0)) for s in {*p, *q}) / 2)
    return max(rewards), max(moves)


def _no_half(pairs: Pairs) -> tuple[float, float]:
    reward, move = worst_errors(pairs)
    return reward, 2 * move


def _mean(pairs: Pairs) -> tuple[float, float]:
    each = [worst_errors([pair]) for pair in pairs]
    n = max(1, len(each))
    return sum(r for r, _ in each) / n, sum(m for _, m in each) / n


def _only_real(pairs: Pairs) -> tuple[float, float]:
    moves = [sum(abs(p[s] - q.get(s, 0.0)) for s in p) / 2 for (_, p), (_, q) in pairs]
    return worst_errors(pairs)[0], max(moves, default=0.0)


def _one_state(pairs: Pairs) -> tuple[float, float]:
    moves = [max(abs(p.get(s, 0.0) - q.get(s, 0.0)) for s in {*p, *q}) for (_, p), (_, q) in pairs]
    return worst_errors(pairs)[0], max(moves, default=0.0)


def _signed(pairs: Pairs) -> tuple[float, float]:
    rewards = [r_dream - r for (r, _), (r_dream, _) in pairs]
    return max([0.0, *rewards]), worst_errors(pairs)[1]


def _only_withheld(pairs: Pairs) -> tuple[float, float]:
    rewards = [r - r_dream for (r, _), (r_dream, _) in pairs]
    return max([0.0, *rewards]), worst_errors(pairs)[1]


_SAME: Entry = (0.0, {"a": 1.0})

WORST_ERRORS = Exercise(
    name="worst_errors",
    title="the two errors of Lemma 1",
    solution=worst_errors,
    cases=lambda: [
        ([],),
        ([(_SAME, _SAME)],),
        ([((1.0, {"a": 1.0}), (0.0, {"a": 1.0}))],),
        ([((0.0, {"a": 1.0}), (0.5, {"a": 1.0}))],),
        ([(_SAME, (0.0, {"b": 1.0}))],),
        ([(_SAME, _SAME), (_SAME, (0.5, {"a": 0.5, "b": 0.5}))],),
        ([((0.0, {"a": 0.5, "b": 0.5}), (0.0, {"a": 0.2, "b": 0.2, "c": 0.6}))],),
        ([((0.0, {"a": 0.5, "b": 0.5}), (0.0, {"c": 0.5, "d": 0.5}))],),
    ],
    wrong=(
        Wrong(
            "without the half",
            _no_half,
            "A probability that is missing in one place is too much in another, so the sum counts "
            "every error twice. Total variation is half of it, and at most 1.",
        ),
        Wrong(
            "a mean",
            _mean,
            "The lemma holds for every policy, also for one that always goes to the worst entry. "
            "So it needs the largest error (sup), not the mean.",
        ),
        Wrong(
            "only states of the real world",
            _only_real,
            "A dream may go where the real world never does. Sum over all states of both.",
        ),
        Wrong(
            "the largest difference of one state",
            _one_state,
            "Total variation asks by how much the probability of any *set* of states may differ; "
            "several states can be wrong in the same direction.",
        ),
        Wrong(
            "only what is too high",
            _signed,
            "A reward that is withheld is an error as well as one that is given for nothing: take "
            "the absolute value.",
        ),
        Wrong(
            "only what is too low",
            _only_withheld,
            "A reward that is given for nothing is an error as well as one that is withheld: take "
            "the absolute value.",
        ),
    ),
)

# ---- the promise ----


def promise(
    gain: float, delta: float, error_r: float, error_p: float, r_max: float, gamma: float
) -> float:
    """The reference: Theorem 1's right-hand side."""
    v_max = r_max / (1 - gamma)
    penalty = 4 * gamma * v_max * delta / (1 - gamma) ** 2
    return gain - penalty - 2 * _bound(error_r, error_p, r_max, gamma)


def _bound(error_r: float, error_p: float, r_max: float, gamma: float) -> float:
    """Lemma 1's Δ."""
    return error_r / (1 - gamma) + 2 * gamma * r_max * error_p / (1 - gamma) ** 2


def _once(*case: float) -> float:
    return promise(*case) + _bound(*case[2:])


def _r_for_v(*case: float) -> float:
    gain, delta, *errors, r_max, gamma = case
    return promise(gain, delta * (1 - gamma), *errors, r_max, gamma)


def _no_trust_region(*case: float) -> float:
    gain, _, *rest = case
    return promise(gain, 0.0, *rest)


def _one_power(*case: float) -> float:
    gain, delta, error_r, error_p, r_max, gamma = case
    return promise(gain, delta, error_r, error_p * (1 - gamma), r_max, gamma)


def _twice_discounted(*case: float) -> float:
    gain, *rest = case
    return promise(gain / (1 - case[-1]), *rest)


PROMISE = Exercise(
    name="promise",
    title="what Theorem 1 promises",
    solution=promise,
    cases=lambda: [
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.5),
        (1.0, 0.0, 0.1, 0.0, 1.0, 0.5),
        (1.0, 0.0, 0.0, 0.1, 1.0, 0.5),
        (1.0, 0.01, 0.0, 0.0, 1.0, 0.5),
        (0.5, 0.02, 0.1, 0.05, 2.0, 0.9),
    ],
    describe=lambda gain, delta, error_r, error_p, r_max, gamma: (
        f"gain {gain}, delta {delta}, error_r {error_r}, error_p {error_p}, "
        f"r_max {r_max}, gamma {gamma}"
    ),
    wrong=(
        Wrong(
            "the error once",
            _once,
            "The dream may flatter the new policy by Δ and belittle the old one by Δ: the "
            "comparison of two policies pays twice.",
        ),
        Wrong(
            "R_max for V_max",
            _r_for_v,
            "A policy that changes loses what follows, too: the most that can be earned is "
            "R_max/(1 − γ).",
        ),
        Wrong(
            "without the trust region",
            _no_trust_region,
            "The gain is a promise to first order, at the states where the *old* policy goes. The "
            "further the step, the less it says.",
        ),
        Wrong(
            "one power of the horizon",
            _one_power,
            "A wrong transition costs at every later step, and may happen at every step: the "
            "horizon 1/(1 − γ) counts twice.",
        ),
        Wrong(
            "the gain divided again",
            _twice_discounted,
            "The gain is handed over as the whole first term: its 1/(1 − γ) is in it.",
        ),
    ),
)
