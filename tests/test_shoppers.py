"""The behaviours that fill the shop's log: how often they fail and win, and what is kept."""

import itertools
from collections import Counter

import numpy as np
import pytest

from dreamgym_nb.experience import transitions_of
from dreamgym_nb.worlds import collect_log, make_world, play
from dreamgym_nb.worlds.shop import BACK, BUY, NEXT, NO_ACTION, NOT_HERE, PREV


def acting(behaviour):
    """A policy for `play`: that behaviour, with a generator of its own."""
    rng = np.random.default_rng(0)
    return lambda world: world.act(behaviour, rng)


def log_of(behaviour, episodes=80):
    world = make_world("shop", seed=4)
    tasks = world.tasks("train")
    log = collect_log(world, tasks, episodes, seed=1, mix={behaviour: 1.0})
    assert {t.behaviour for t in log} == {behaviour}
    assert world.real_steps == len(transitions_of(log)), "the log was paid for"
    return log


def failed_share(log):
    steps = transitions_of(log)
    return sum(t.failed for t in steps) / len(steps)


def test_the_expert_nearly_always_wins_and_never_fails():
    for split in ("train", "test"):
        world = make_world("shop", seed=4)
        log = [
            play(world, task, acting("expert"), id=task.id, behaviour="expert")
            for task in world.tasks(split)[:100]
        ]
        assert sum(t.success for t in log) >= 95
        assert failed_share(log) == 0.0
        bought = [t.transitions[-1] for t in log if t.transitions[-1].terminated]
        assert all(t.reward == 1.0 for t in bought), "it buys nothing that is wrong"


def test_the_careless_buy_and_are_often_wrong():
    log = log_of("careless")
    bought = [t for t in log if t.transitions[-1].terminated]
    wins = sum(t.success for t in bought) / len(bought)
    assert len(bought) > 0.8 * len(log) and 0.05 < wins < 0.6


def test_the_exploring_win_less_than_the_expert_and_do_not_fail():
    log = log_of("exploring")
    assert 0.2 < sum(t.success for t in log) / len(log) < 0.95
    assert failed_share(log) == 0.0


def test_the_random_do_what_works_and_rarely_win():
    log = log_of("random")
    assert failed_share(log) == 0.0
    assert sum(t.success for t in log) / len(log) < 0.1
    actions = [t.action for t in transitions_of(log)]
    for thing in (BACK, PREV, NEXT, BUY, "red", "small"):
        assert f"click[{thing}]" in actions


def test_the_invalid_fail_at_about_half_of_their_actions():
    log = log_of("invalid")
    assert 0.35 < failed_share(log) < 0.65
    said = Counter(t.observation for t in transitions_of(log) if t.failed)
    assert set(said) == {NOT_HERE, NO_ACTION} and min(said.values()) >= 5
    wrong = {t.action for t in transitions_of(log) if t.failed}
    assert {f"click[{BUY}]", "click[red]", ""} <= wrong


def test_the_usual_log_holds_all_behaviours_in_their_shares(shop):
    log = collect_log(shop, shop.tasks("train"), 400, seed=0)
    assert sum(shop.behaviours.values()) == pytest.approx(1.0)
    counts = Counter(t.behaviour for t in log)
    for name, share in shop.behaviours.items():
        assert counts[name] / 400 == pytest.approx(share, abs=0.08)
    ends = [t.transitions[-1] for t in log if t.transitions[-1].terminated]
    right = sum(t.reward for t in ends) / len(ends)
    assert 0.3 < right < 0.7, "about half of the purchases go wrong"
    assert all(t.truncated != t.transitions[-1].terminated for t in log)
    assert len({t.id for t in log}) == 400


def test_a_recorded_step_holds_what_was_known_before_it(log):
    for trajectory in log:
        seen = [trajectory.observation, *(t.observation for t in trajectory.transitions)]
        turns = [(o, t.action) for o, t in zip(seen, trajectory.transitions, strict=False)]
        for n, t in enumerate(trajectory.transitions):
            assert t.history == tuple(turns[:n])
            assert (t.task, t.trajectory, t.source) == (trajectory.task, trajectory.id, "real")
        states = [trajectory.state] + [t.next_state for t in trajectory.transitions]
        assert [t.state for t in trajectory.transitions] == states[:-1]
        assert not any(t.terminated for t in trajectory.transitions[:-1])


def test_every_generated_page_fits_the_space(shop):
    for task, behaviour in itertools.product(shop.tasks("test")[:10], shop.behaviours):
        played = play(shop, task, acting(behaviour), id="x", behaviour=behaviour)
        assert all(shop.observation_space.contains(t.observation) for t in played.transitions)
