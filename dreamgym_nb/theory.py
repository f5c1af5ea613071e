"""When a dream may be trusted: the paper's bounds, exact on worlds that are tables.

A `Table` is a Markov decision process with all its numbers known, so every term of
Lemma 1 and Theorem 1 (the paper's appendix) is computed and not estimated:
values, occupancies, the errors ε_R and ε_P, a trust region's step.  `charges`
adds what the bounds leave out: which error costs how much.

Shapes: S states, A actions.  Everything is a numpy array of floats; rewards are in
the unit of the return, discounts in [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamgym_nb.errors import UserError

Array = NDArray[np.float64]
_SUM = 1e-8  # by how much the sum of probabilities may miss 1


@dataclass(frozen=True)
class Table:
    """A world as a table: what follows every action in every state.

    Attributes:
        next: probability of each next state, (S, A, S).
        reward: expected reward, (S, A).
        start: probability of each first state, (S,).
        gamma: the discount γ.

    Raises:
        UserError: shapes that do not fit, what is no probability, or γ outside [0, 1).
    """

    next: Array
    reward: Array
    start: Array
    gamma: float

    def __post_init__(self) -> None:
        states, actions = self.reward.shape
        if self.next.shape != (states, actions, states) or self.start.shape != (states,):
            raise UserError(
                f"With rewards of shape {self.reward.shape}, next must be of shape "
                f"{(states, actions, states)} and start of {(states,)}; they are of "
                f"{self.next.shape} and {self.start.shape}."
            )
        for name, rows in (("next", self.next), ("start", self.start)):
            if (rows < 0).any() or (abs(rows.sum(-1) - 1) > _SUM).any():
                raise UserError(f"Each row of {name} must be probabilities that add up to 1.")
        if not 0 <= self.gamma < 1:
            raise UserError(f"The discount must lie in [0, 1), not be {self.gamma}.")

    @property
    def r_max(self) -> float:
        """The largest reward, in size."""
        return float(abs(self.reward).max())


# ---- a policy's values ------------------------------------------------------------------------


@dataclass(frozen=True)
class Values:
    """What a policy is worth in a table.

    Attributes:
        state: V_π, expected discounted return from each state, (S,).
        action: Q_π, (S, A).
        total: J(π), from the first state.
    """

    state: Array
    action: Array
    total: float

    @property
    def advantage(self) -> Array:
        """A_π = Q_π − V_π, (S, A)."""
        return self.action - self.state[:, None]


def values(world: Table, policy: Array) -> Values:
    """Evaluate a policy: V = (I − γ P_π)⁻¹ R_π, solved and not iterated.

    Args:
        world: the table.
        policy: probability of each action in each state, (S, A).

    Raises:
        UserError: a policy of another shape, or rows that are no probabilities.
    """
    flow, reward = _followed(world, policy)
    state = np.linalg.solve(np.eye(len(reward)) - world.gamma * flow, reward)
    action = world.reward + world.gamma * world.next @ state
    return Values(state, action, float(world.start @ state))


def occupancy(world: Table, policy: Array) -> Array:
    """Where a policy spends its discounted time: d_π = (1 − γ) Σ γᵗ Pr(s_t), (S,); adds up to 1."""
    flow, _ = _followed(world, policy)
    lasting = np.linalg.solve(np.eye(len(flow)) - world.gamma * flow.T, world.start)
    return np.asarray((1 - world.gamma) * lasting)


def _followed(world: Table, policy: Array) -> tuple[Array, Array]:
    """The table with the policy in it: P_π (S, S) and R_π (S,)."""
    if policy.shape != world.reward.shape:
        raise UserError(f"The policy must be of shape {world.reward.shape}, not {policy.shape}.")
    if (policy < 0).any() or (abs(policy.sum(1) - 1) > _SUM).any():
        raise UserError("Each row of the policy must be probabilities that add up to 1.")
    flow = np.einsum("sa,sat->st", policy, world.next)
    return flow, (policy * world.reward).sum(1)


# ---- Lemma 1: one policy, two worlds ------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """How wrong a dream is at its worst pair of state and action.

    Attributes:
        reward: ε_R = sup |R − R̂|.
        next: ε_P = sup TV(P, P̂), in [0, 1].
    """

    reward: float
    next: float


def total_variation(p: Array, q: Array) -> Array:
    """TV(p, q) = ½ Σ |p − q| over the last axis: the most that any event's probability differs."""
    return np.asarray(abs(p - q).sum(-1) / 2)


def errors(real: Table, dream: Table) -> Errors:
    """ε_R and ε_P of a dream.

    Raises:
        UserError: the tables differ in shape, start or discount, so nothing compares them.
    """
    _comparable(real, dream)
    worst = float(abs(real.reward - dream.reward).max())
    return Errors(worst, float(total_variation(real.next, dream.next).max()))


def lemma_1(real: Table, dream: Table) -> float:
    """Δ with |J_M(π) − J_M̂(π)| ≤ Δ for every policy (Lemma 1 of the paper).

    Δ = ε_R/(1−γ) + 2γ R_max ε_P/(1−γ)², with the larger R_max of the two worlds.
    """
    found, gamma = errors(real, dream), real.gamma
    r_max = max(real.r_max, dream.r_max)
    return found.reward / (1 - gamma) + 2 * gamma * r_max * found.next / (1 - gamma) ** 2


def charges(real: Table, dream: Table, policy: Array) -> Array:
    """What each wrong entry of a dream adds to its return for a policy, (S, A).

    The sum is exactly J_M̂(π) − J_M(π): a telescope of the two Bellman equations,
    d_π(s) π(a|s) [R̂ − R + γ (P̂ − P)·V̂_π] / (1 − γ), with d_π of the *real* world.
    An error costs nothing where the policy does not go, or where both next
    states are worth the same.
    """
    _comparable(real, dream)
    worth = values(dream, policy).state
    wrong = dream.reward - real.reward + real.gamma * (dream.next - real.next) @ worth
    visits = occupancy(real, policy)[:, None] * policy / (1 - real.gamma)
    return np.asarray(visits * wrong)


def _comparable(real: Table, dream: Table) -> None:
    same = real.reward.shape == dream.reward.shape and real.gamma == dream.gamma
    if not same or abs(real.start - dream.start).max() > _SUM:
        raise UserError(
            "The two tables must have the same states, actions, start and discount: "
            f"shapes {real.reward.shape} and {dream.reward.shape}, "
            f"discounts {real.gamma} and {dream.gamma}."
        )


# ---- Theorem 1: a step in the dream -------------------------------------------------------------


def divergence(new: Array, old: Array) -> Array:
    """KL(new ‖ old) in each state, nats, (S,); infinite where `new` does what `old` never did."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(new > 0, new * (np.log(new) - np.log(old)), 0.0)
    return np.asarray(np.maximum(terms.sum(1), 0.0))


def improve(world: Table, policy: Array, delta: float) -> Array:
    """One policy update in a table: as far as the trust region lets it.

    π'(a|s) ∝ π(a|s) exp(η A_π(s, a)), the largest step η with sup_s KL(π' ‖ π) ≤ δ,
    found by bisection.  It is what policy gradients with a KL bound aim
    at, without their noise.

    Args:
        world: in which advantages are computed: the dream.
        policy: π, (S, A).
        delta: δ, nats.

    Returns:
        π', (S, A); π itself where no action is better than another.

    Raises:
        UserError: δ is negative.
    """
    if delta < 0:
        raise UserError(f"A trust region has a size of at least 0, not {delta}.")
    advantage = np.where(policy > 0, values(world, policy).advantage, -np.inf)
    # Numbers of e to a power: the best allowed action of a state counts as 0.
    advantage = advantage - advantage.max(1, keepdims=True)

    def at(eta: float) -> Array:
        moved = policy * np.exp(eta * np.where(policy > 0, advantage, 0.0))
        return np.asarray(moved / moved.sum(1, keepdims=True))

    low, high = 0.0, 1.0
    while divergence(at(high), policy).max() <= delta and high < 1e9:
        low, high = high, 4 * high
    for _ in range(60):
        middle = (low + high) / 2
        inside = divergence(at(middle), policy).max() <= delta
        low, high = (middle, high) if inside else (low, middle)
    return at(low)


@dataclass(frozen=True)
class Step:
    """The terms of Theorem 1 for one policy update.

    Attributes:
        gain: what the dream promises, to first order.
        penalty: of the trust region.
        error: of the dream, 2Δ.
        delta: the KL that the update took, sup over states.
        true: J_M(π') − J_M(π), in the real world.
        dreamed: J_M̂(π') − J_M̂(π), in the dream.
    """

    gain: float
    penalty: float
    error: float
    delta: float
    true: float
    dreamed: float

    @property
    def bound(self) -> float:
        """What Theorem 1 guarantees: `true` is at least this."""
        return self.gain - self.penalty - self.error


def theorem_1(real: Table, dream: Table, policy: Array, new: Array) -> Step:
    """Theorem 1 of the paper, term by term.

    J_M(π') − J_M(π) ≥ E_{s~d_π^M̂, a~π'}[A_π^M̂]/(1−γ) − 4γ V_max δ/(1−γ)² − 2Δ,
    V_max = R_max/(1−γ).

    Args:
        real: M.
        dream: M̂.
        policy: π, before the update.
        new: π', after it.
    """
    gamma, before = real.gamma, values(dream, policy)
    visits = occupancy(dream, policy)
    gain = float(visits @ (new * before.advantage).sum(1)) / (1 - gamma)
    delta = float(divergence(new, policy).max())
    v_max = max(real.r_max, dream.r_max) / (1 - gamma)
    return Step(
        gain=gain,
        penalty=4 * gamma * v_max * delta / (1 - gamma) ** 2,
        error=2 * lemma_1(real, dream),
        delta=delta,
        true=values(real, new).total - values(real, policy).total,
        dreamed=values(dream, new).total - before.total,
    )


# ---- worlds at random ---------------------------------------------------------------------------


def random_table(rng: np.random.Generator, states: int, actions: int, gamma: float) -> Table:
    """A world at random: sparse transitions (Dirichlet 0.3), rewards uniform in [0, 1]."""
    return Table(
        next=rng.dirichlet(np.full(states, 0.3), (states, actions)),
        reward=rng.random((states, actions)),
        start=rng.dirichlet(np.ones(states)),
        gamma=gamma,
    )


def blurred(world: Table, rng: np.random.Generator, epsilon: float) -> Table:
    """A dream of a world: each entry mixed with a share ε of something at random.

    ε_P and ε_R of it are at most ε.
    """
    other = random_table(rng, *world.reward.shape, world.gamma)
    return Table(
        next=(1 - epsilon) * world.next + epsilon * other.next,
        reward=(1 - epsilon) * world.reward + epsilon * other.reward,
        start=world.start,
        gamma=world.gamma,
    )


GAMMAS = (0.5, 0.8, 0.9, 0.95, 0.99)


def survey(pairs: int, seed: int = 0) -> list[dict[str, Any]]:
    """Try both bounds on pairs of a random world and a blurred dream of it.

    Each pair has 3 to 12 states, 2 to 4 actions, a discount of `GAMMAS`, a policy at
    random, and both ε and the trust region δ between 1e-5 and 1, uniform in their logarithm.

    Returns:
        A row for each: ``gamma``, ``epsilon_r``, ``epsilon_p``, ``gap`` =
        |J_M − J_M̂|, ``lemma`` = Δ, and the fields of `Step` with its ``bound``.
    """
    rng, rows = np.random.default_rng(seed), []
    for _ in range(pairs):
        gamma = float(rng.choice(GAMMAS))
        real = random_table(rng, int(rng.integers(3, 13)), int(rng.integers(2, 5)), gamma)
        dream = blurred(real, rng, 10.0 ** rng.uniform(-5, 0))
        policy = rng.dirichlet(np.ones(real.reward.shape[1]), len(real.reward))
        new = improve(dream, policy, 10.0 ** rng.uniform(-5, 0))
        step, found = theorem_1(real, dream, policy, new), errors(real, dream)
        gap = abs(values(real, policy).total - values(dream, policy).total)
        rows.append(
            {
                "gamma": gamma,
                "epsilon_r": found.reward,
                "epsilon_p": found.next,
                "gap": gap,
                "lemma": lemma_1(real, dream),
                **{name: getattr(step, name) for name in Step.__annotations__},
                "bound": step.bound,
            }
        )
    return rows
