"""Tables of real tasks against the simulator, and dreams of them against what was planted."""

import dataclasses

import numpy as np
import pytest
from conftest import SEED, Oracle

from dreamgym_nb import tabular, theory
from dreamgym_nb.errors import UserError
from dreamgym_nb.prompts import Outcome
from dreamgym_nb.worlds import make_world

CHOICE = tabular.shop_actions(1)


@pytest.fixture(scope="module")
def world():
    return make_world("shop", seed=SEED)


@pytest.fixture(scope="module")
def real(world):
    """A task that the expert solves on the first page."""
    for task in world.tasks("test"):
        found = tabular.tabulate(world, task, actions=CHOICE)
        if theory.values(found.table, found.skilled(1.0)).total > 0.6:
            return found
    raise AssertionError("no task is that easy")


def go(real, s, a):
    """Where an entry leads: the number of a state, and its reward."""
    return int(real.table.next[s, a].argmax()), float(real.table.reward[s, a])


# ---- the real world ----


def test_the_table_is_the_simulator(real, world):
    rng, ends = np.random.default_rng(0), 0
    for _ in range(30):
        world.reset(options={"task": real.task})
        s = 0
        for _ in range(world.max_steps):
            assert world.state == real.states[s]
            a = int(rng.integers(len(real.actions[s])))
            if rng.random() < 0.8 and real.expert[s] >= 0:
                a = real.expert[s]
            observation, reward, over, cut, _ = world.step(real.actions[s][a])
            to, paid = go(real, s, a)
            assert observation == real.observations[s][a] and reward == paid
            assert over == (to == len(real.states))
            if over or cut:
                ends += reward == 1.0
                break
            s = to
    assert ends > 5


def test_the_table_takes_no_real_step_and_leaves_the_episode_alone():
    world = make_world("shop", seed=SEED)
    world.reset(options={"task": world.tasks("train")[1]})
    world.step("search[mug]")
    before = world.state, world.real_steps, world.task
    tabular.tabulate(world, world.tasks("test")[0], actions=CHOICE)
    assert (world.state, world.real_steps, world.task) == before and world.max_steps == 10


def test_histories_lead_to_their_states(real, world):
    for s in (1, len(real.states) // 2, len(real.states) - 1):
        world.reset(options={"task": real.task})
        for seen, action in real.histories[s]:
            assert world.observation == seen
            world.step(action)
        assert world.state == real.states[s]


def test_impossible_actions_fail_and_stay(real):
    for s, actions in enumerate(real.actions):
        assert real.observations[s][len(actions) - 1].startswith("nothing happens")
        assert go(real, s, len(actions) - 1) == (s, 0.0)
    none = tabular.tabulate(make_world("shop", seed=SEED), real.task, actions=CHOICE, impossible=0)
    assert len(none.pairs) == len(real.pairs) - len(real.states)


def test_what_is_over_stays_over_and_pays_nothing(real):
    end = len(real.states)
    assert real.table.next[end, :, end].all() and real.table.next[end + 1, :, end + 1].all()
    assert not real.table.reward[end:].any()


def test_policies_take_only_what_there_is(real):
    for policy in (real.even(), real.skilled(0.5), real.skilled(1.0)):
        theory.values(real.table, policy)  # it refuses what adds up to no probability
        for s, actions in enumerate(real.actions):
            assert not policy[s, len(actions) :].any()
    worth = [theory.values(real.table, real.skilled(x)).total for x in (0, 0.3, 0.6, 0.9)]
    assert worth == sorted(worth) and worth[0] < 0.01 < 0.5 < worth[-1]
    with pytest.raises(UserError, match="probability"):
        real.skilled(1.5)


def test_the_two_searches_come_first_and_pages_are_limited(real):
    words = [*real.task.goal["attributes"], real.task.goal["query"]]
    assert real.actions[0][:2] == (f"search[{' '.join(words)}]", f"search[{words[-1]}]")
    assert not any("\npage 2 of" in state for state in real.states)


def test_too_many_states_are_refused(world):
    with pytest.raises(UserError, match="more than 20 states"):
        tabular.tabulate(world, world.tasks("test")[0], actions=CHOICE, limit=20)


def test_other_worlds_have_tables_too():
    house = make_world("house", seed=0)
    task = house.tasks("test")[0]

    def near(world):
        return [a for a in tabular.possible(world) if not a.startswith(("examine", "look"))][:4]

    found = tabular.tabulate(house, task, actions=near, limit=400)
    assert len(found.states) > 10 and found.table.reward.max() <= 1.0


# ---- dreams ----


def test_the_truth_dreamed_is_the_table(real, world):
    dream = tabular.dreamed(real, Oracle(), world, batch=100)
    assert (dream.table.next == real.table.next).all()
    assert (dream.table.reward == real.table.reward).all()
    assert tabular.mistakes(real, dream) == []


class Liar(Oracle):
    """Wrong in one way of each kind."""

    def say(self, question, truth):
        if question.action == "click[buy now]":
            if truth.reward == 1.0:
                return dataclasses.replace(truth, reward=0.0)
            whole = "\nchosen color" in question.state and " and size" in question.state
            return dataclasses.replace(truth, terminated=whole, reward=1.0)
        if truth.observation.startswith("nothing happens"):
            return Outcome("", "chosen color mauve", 0.0, False)
        if truth.observation.startswith("chosen"):
            return Outcome("", "nothing happens: that is not on this page", 0.0, False)
        if truth.observation.startswith("item"):
            return Outcome("", truth.observation.replace("item b", "item c"), 0.0, False)
        return truth


def test_each_kind_of_mistake_is_told(real, world):
    seen = []
    dream = tabular.dreamed(real, Liar(), world, progress=lambda *done: seen.append(done))
    assert seen[-1] == (len(real.pairs), len(real.pairs)) and len(seen) > 1
    found = {m.pair: m.kind for m in tabular.mistakes(real, dream)}
    assert set(found.values()) == set(tabular.KINDS)
    for (s, a), kind in found.items():
        said = real.observations[s][a]
        wanted = (
            (
                "refuses a success"
                if real.table.reward[s, a] == 1.0
                else "pays a failure"
                if dream.table.reward[s, a] == 1.0
                else "ends or goes on"
            )
            if real.actions[s][a] == "click[buy now]" and not said.startswith("nothing")
            else "allows"
            if said.startswith("nothing happens")
            else "denies"
            if said.startswith("chosen")
            else "another page"
        )
        assert kind == wanted
    # A state that does not exist is worth nothing, and a reward before the end is none.
    elsewhere = len(real.states) + 1
    assert dream.table.next[:, :, elsewhere].sum() > real.table.reward.shape[1]
    assert not dream.table.reward[dream.table.next[:, :, len(real.states)] == 0].any()


def test_mending_all_mistakes_gives_the_truth_back(real, world):
    dream = tabular.dreamed(real, Liar(), world)
    wrong = [m.pair for m in tabular.mistakes(real, dream)]
    whole = tabular.mended(real.table, dream.table, wrong)
    assert (whole.next == real.table.next).all() and (whole.reward == real.table.reward).all()
    half = tabular.mended(real.table, dream.table, wrong[::2])
    policy = real.skilled(0.5)
    left = theory.charges(real.table, half, policy)
    assert not any(left[pair] for pair in wrong[::2])
    best = real.table.reward == 1.0
    assert not dream.table.reward[best].any(), "the dream itself was changed"
