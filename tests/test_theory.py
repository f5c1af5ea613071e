"""The bounds on tables: values against simulation, every formula against a slow one."""

import dataclasses
import math

import numpy as np
import pytest

from dreamgym_nb import theory
from dreamgym_nb.errors import UserError
from dreamgym_nb.theory import Table


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pair(rng):
    """A world, a dream of it and a policy."""
    real = theory.random_table(rng, 6, 3, 0.9)
    return real, theory.blurred(real, rng, 0.1), rng.dirichlet(np.ones(3), 6)


def two_states(pays=1.0, gamma=0.5):
    """State 0 pays for its first action and goes to state 1, which stays and pays nothing."""
    goes = np.zeros((2, 2, 2))
    goes[0, 0, 1] = goes[0, 1, 0] = goes[1, :, 1] = 1.0
    return Table(goes, np.array([[pays, 0.0], [0.0, 0.0]]), np.array([1.0, 0.0]), gamma)


# ---- values ----


def test_values_by_hand():
    # Half the time 1 and over, half the time the same again at a discount of 1/2: V = 0.5 + V/4.
    found = theory.values(two_states(), np.full((2, 2), 0.5))
    assert found.total == pytest.approx(2 / 3)
    assert found.action[0] == pytest.approx([1.0, 1 / 3])
    assert found.advantage[0] == pytest.approx([1 / 3, -1 / 3])


def test_values_are_what_many_steps_bring(pair):
    real, _, policy = pair
    flow = np.einsum("sa,sat->st", policy, real.next)
    here, total, visits = real.start, 0.0, np.zeros(6)
    for t in range(400):
        total += real.gamma**t * here @ (policy * real.reward).sum(1)
        visits += (1 - real.gamma) * real.gamma**t * here
        here = here @ flow
    assert theory.values(real, policy).total == pytest.approx(total)
    assert theory.occupancy(real, policy) == pytest.approx(visits)
    assert theory.occupancy(real, policy).sum() == pytest.approx(1)


def test_advantages_of_a_policy_cancel_out(pair):
    real, _, policy = pair
    assert (policy * theory.values(real, policy).advantage).sum(1) == pytest.approx(np.zeros(6))


# ---- Lemma 1 ----


def test_errors_are_those_of_the_worst_entry():
    real, dream = two_states(), two_states(pays=0.75)
    assert theory.errors(real, dream) == theory.Errors(0.25, 0.0)
    goes = real.next.copy()
    goes[0, 1] = [0.9, 0.1]
    dream = dataclasses.replace(real, next=goes)
    found = theory.errors(real, dream)
    assert found.reward == 0.0 and found.next == pytest.approx(0.1)
    # Δ = 2 · 0.5 · 1 · 0.1 / 0.25
    assert theory.lemma_1(real, dream) == pytest.approx(0.4)


def test_total_variation_is_the_most_that_an_event_can_differ(rng):
    p, q = rng.dirichlet(np.ones(4), 2)
    events = [[i for i in range(4) if n >> i & 1] for n in range(16)]
    worst = max(abs(p[event].sum() - q[event].sum()) for event in events)
    assert theory.total_variation(p, q) == pytest.approx(worst)


def test_lemma_1_is_tight_where_only_the_reward_is_wrong():
    # One state, forever, paid 1 too much each time: the gap is ε_R/(1−γ) exactly.
    goes = np.ones((1, 1, 1))
    real = Table(goes, np.array([[0.0]]), np.ones(1), 0.9)
    dream = dataclasses.replace(real, reward=np.array([[1.0]]))
    gap = theory.values(dream, np.ones((1, 1))).total
    assert theory.lemma_1(real, dream) == pytest.approx(gap) == pytest.approx(10.0)


def test_charges_add_up_to_the_gap(pair):
    real, dream, policy = pair
    gap = theory.values(dream, policy).total - theory.values(real, policy).total
    costs = theory.charges(real, dream, policy)
    assert abs(gap) > 1e-3 and costs.sum() == pytest.approx(gap)


def test_an_error_is_free_where_nobody_goes_or_where_it_does_not_matter(pair):
    real, _, policy = pair
    never = policy.copy()
    never[2] = [0.0, 0.4, 0.6]
    reward = real.reward.copy()
    reward[2, 0] += 5.0
    assert not theory.charges(real, dataclasses.replace(real, reward=reward), never).any()
    assert theory.charges(real, dataclasses.replace(real, reward=reward), policy)[2, 0] > 0
    # Two states that are copies of each other: to confuse them costs nothing.
    twin = two_states()
    goes = np.zeros((3, 2, 3))
    goes[:2, :, :2], goes[2, :, 2] = twin.next, 1.0
    real = Table(goes, np.vstack([twin.reward, np.zeros(2)]), np.array([1.0, 0, 0]), 0.5)
    wrong = goes.copy()
    wrong[0, 0] = [0, 0, 1]
    dream = dataclasses.replace(real, next=wrong)
    assert theory.errors(real, dream).next == 1.0
    assert not theory.charges(real, dream, np.full((3, 2), 0.5)).any()


# ---- Theorem 1 ----


def test_an_update_takes_the_whole_trust_region_and_improves(pair):
    _, dream, policy = pair
    for delta in (1e-3, 0.1):
        new = theory.improve(dream, policy, delta)
        assert theory.divergence(new, policy).max() == pytest.approx(delta, rel=1e-3)
        assert theory.values(dream, new).total > theory.values(dream, policy).total
    assert theory.improve(dream, policy, 0.0) == pytest.approx(policy)


def test_a_large_trust_region_gives_the_best_answer_to_the_values(pair):
    _, dream, policy = pair
    new = theory.improve(dream, policy, 50.0)
    best = theory.values(dream, policy).action.argmax(1)
    assert (new.argmax(1) == best).all() and new.max(1).min() > 0.99


def test_an_action_that_is_never_taken_stays_so(pair):
    _, dream, policy = pair
    policy = policy.copy()
    policy[:, 0] = 0.0
    policy /= policy.sum(1, keepdims=True)
    new = theory.improve(dream, policy, 0.5)
    assert not new[:, 0].any() and np.isfinite(theory.divergence(new, policy)).all()
    assert theory.divergence(np.eye(3)[:1], policy[:1])[0] == math.inf


def test_the_terms_of_theorem_1_by_hand():
    real = two_states()
    policy, new = np.full((2, 2), 0.5), np.array([[0.75, 0.25], [0.5, 0.5]])
    step = theory.theorem_1(real, real, policy, new)
    # d(0) = (1 − γ) / (1 − γ/2) = 2/3; a gain of 2/3 · (0.75 − 0.25) · 1/3 / 0.5
    assert step.gain == pytest.approx(2 / 9)
    delta = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert step.delta == pytest.approx(delta)
    assert step.penalty == pytest.approx(4 * 0.5 * 2 * delta / 0.25) and step.error == 0.0
    # The new policy is worth 0.75 / (1 − 0.125)
    assert step.true == step.dreamed == pytest.approx(0.75 / 0.875 - 2 / 3)
    assert step.bound == pytest.approx(step.gain - step.penalty)


def test_no_random_pair_breaks_a_bound():
    rows = theory.survey(300, seed=1)
    assert all(row["gap"] <= row["lemma"] + 1e-9 for row in rows)
    assert all(row["true"] >= row["bound"] - 1e-9 for row in rows)
    assert any(row["bound"] > 0 for row in rows) and any(row["true"] < 0 for row in rows)
    assert theory.survey(5, seed=1) == rows[:5]


def test_the_survey_can_tell_a_bound_that_is_false():
    """A fiftieth of Lemma 1's Δ is broken in it, and so is Theorem 1 without its prices."""
    rows = theory.survey(1000, seed=2)
    assert any(row["gap"] > 0.02 * row["lemma"] for row in rows)
    assert any(row["true"] < row["gain"] - 1e-9 for row in rows)


# ---- bad input ----


def test_tables_and_policies_that_are_none_are_refused(pair):
    real, dream, policy = pair
    with pytest.raises(UserError, match="add up to 1"):
        dataclasses.replace(real, next=real.next * 0.9)
    with pytest.raises(UserError, match="next must be of shape"):
        dataclasses.replace(real, reward=real.reward[:4])
    with pytest.raises(UserError, match="discount"):
        dataclasses.replace(real, gamma=1.0)
    with pytest.raises(UserError, match="policy must be of shape"):
        theory.values(real, policy[:3])
    with pytest.raises(UserError, match="policy must be probabilities"):
        theory.values(real, policy * 2)
    with pytest.raises(UserError, match="same states"):
        theory.errors(real, dataclasses.replace(dream, gamma=0.8))
    with pytest.raises(UserError, match="at least 0"):
        theory.improve(dream, policy, -0.1)
