"""PPO's runs: V learns, the policy learns, the books are kept, and nothing learned is lost."""

import dataclasses

import numpy as np
import pytest
import torch
from ppo_by_hand import by_turns, change, episodes_of, train, weights
from toy import FIRST, TASKS, Toy, chances

from dreamgym_nb import ppo
from dreamgym_nb.errors import UserError
from dreamgym_nb.ppo import PPOSettings, backward
from dreamgym_nb.ppo_batch import Batch, gather
from dreamgym_nb.value import ValueHead

# ---- learning -------------------------------------------------------------------------------


class FirstDecides(Toy):
    """The first action decides, so that whatever comes after it can be foreseen."""

    def _advance(self, rows, actions):
        if not self.turn:
            self.searched = [a == FIRST[0] for a in actions]
        done = super()._advance(rows, actions)
        return [
            dataclasses.replace(r, reward=float(r.terminated and found))
            for r, found in zip(done, self.searched, strict=True)
        ]


@pytest.mark.parametrize(("shared", "most"), [(False, 0.1), (True, 0.3)])
def test_v_learns_to_foresee(agent, shared, most):
    """On one batch, from a constant that explains nothing; more where the layers learn with it.

    Most it cannot reach: the agent's first tokens come before what decides.
    """
    settings = change(learning_rate=3e-3, value_rate=1.0, shared=shared, target_kl=None)
    head, batch = ValueHead.on(agent), Batch.of(agent, episodes_of(agent, FirstDecides, n=8))
    head.begin(batch.earned())
    assert head.bias.item() == pytest.approx(batch.earned().mean().item())
    assert 0.1 < head.bias.item() < 0.9
    before, updates = weights(agent), ppo._Updates(agent, head, settings)
    foreseen = [gather(agent, head, batch, settings)]
    batch.advantages.zero_()  # V alone is trained
    losses = [updates.make(batch)["value_loss"] for _ in range(25)]
    foreseen.append(gather(agent, head, batch, settings))
    assert foreseen[0] == pytest.approx(0, abs=1e-5)
    assert foreseen[1] > most, foreseen
    assert losses[-1] < (1 - most) * losses[0]
    assert torch.equal(weights(agent), before) == (not shared)


def test_the_rewarded_action_becomes_likelier(agent):
    """The other two actions, which nothing sets apart, become rarer; V comes to foresee it."""
    before = chances(agent)
    assert 0.15 < before.min() and before.max() < 0.4, "about alike, with room to grow"
    settings = PPOSettings(
        iterations=10, groups=2, group_size=16, learning_rate=1.5e-3, microbatch=32, seed=1
    )
    history = train(agent, settings)
    success, after = history.column("success"), chances(agent)
    assert after[0] > before[0] + 0.15
    assert (after[1:] < before[1:] - 0.05).all()
    assert np.mean(success[-4:]) > np.mean(success[:4])
    assert not agent.model.training


def test_the_seed_fixes_the_run(player):
    def run(seed):
        agent, told = player.copy(), []
        settings = change(iterations=2, minibatches=2, seed=seed)
        train(agent, settings, on_iteration=lambda r, e: told.append([x.tokens for x in e]))
        return told, weights(agent)

    (told, reached), (again, same), (other, _) = run(1), run(1), run(2)
    assert told == again != other
    assert torch.equal(reached, same)


def test_far_from_the_acting_policy_the_updates_stop(agent):
    """Rates that are too high: the first update goes through, the next looks and stops."""
    wild = change(epochs=4, minibatches=2, learning_rate=0.05, value_rate=1e-6)
    wary, bold = (dataclasses.replace(wild, target_kl=kl) for kl in (1e-4, None))
    stopped = train(agent.copy(), wary, by_turns).iterations[0].extra
    assert 1 <= stopped["updates"] < 8 and stopped["approx_kl"] > 0
    on = train(agent.copy(), bold, by_turns).iterations[0].extra
    assert on["updates"] == 8 and on["approx_kl"] > stopped["approx_kl"]


def test_the_learning_rate_warms_up(agent):
    settings = change(iterations=1)
    updates = ppo._Updates(agent, ValueHead.on(agent), settings)
    rates = []
    batch = Batch.of(agent, episodes_of(agent))
    gather(agent, updates.head, batch, settings)
    for _ in range(7):
        rates.append(updates.optimizer.param_groups[0]["lr"] / settings.learning_rate)
        updates.make(batch)
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])


def test_a_value_head_goes_on(agent):
    """Passed in, it is trained in place, and a head that knows something is not begun again."""
    head = ValueHead.on(agent)
    train(agent, worlds=by_turns, value_head=head)
    assert head.weight.any() and head.bias.any()
    known = head.weight.detach().clone()
    train(agent, change(value_rate=1e-9), by_turns, value_head=head)
    assert torch.allclose(head.weight, known, atol=1e-6)
    with pytest.raises(UserError, match="ValueHead.on"):
        train(agent, value_head=ValueHead(7))


# ---- the books --------------------------------------------------------------------------------


@pytest.mark.parametrize(("group_size", "minibatches"), [(4, 1), (4, 3), (1, 2)])
def test_each_iteration_leaves_one_record(agent, group_size, minibatches):
    settings = change(iterations=3, group_size=group_size, minibatches=minibatches, epochs=2)
    seen = []

    def after(record, episodes):
        record.extra["note"] = len(seen)
        seen.append((record, episodes))

    history = train(agent, settings, by_turns, on_iteration=after)
    assert history.iterations == [record for record, _ in seen] and not history.interrupted
    transitions = 0
    for number, (record, episodes) in enumerate(seen, start=1):
        assert [e.trajectory.task for e in episodes] == [
            t for t in TASKS for _ in range(group_size)
        ]
        rewards = np.array([e.trajectory.reward for e in episodes]).reshape(2, group_size)
        steps = [t for e in episodes for t in e.trajectory.transitions]
        transitions += len(steps)
        assert (record.iteration, record.transitions) == (number, transitions)
        assert record.success == rewards.mean() and record.turns == 2.0
        assert record.failed_actions == sum(t.failed for t in steps) / len(steps)
        assert record.mixed_groups == np.mean([0 < g.mean() < 1 for g in rewards])
        assert record.value_spread == pytest.approx(
            np.mean([g.mean() * (1 - g.mean()) for g in rewards])
        )
        assert record.entropy > 0 and record.grad_norm > 0 and record.clip_fraction >= 0
        assert record.extra["updates"] <= 2 * minibatches and record.extra["value_loss"] > 0
    for name in ("policy_loss", "approx_kl", "explained_variance"):
        assert len(history.column(name)) == 3
    assert history.column("note") == [0, 1, 2]
    seconds = history.column("seconds")
    assert seconds == sorted(seconds) and seconds[0] > 0


# ---- what can go wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["after an iteration", "in a rollout"])
def test_stopping_it_keeps_the_agent_and_the_history(agent, capsys, where):
    reached, rollouts = [], 0

    def after(record, episodes):
        reached.append(weights(agent))
        if where == "after an iteration" and record.iteration == 3:
            raise KeyboardInterrupt

    def worlds(n):
        nonlocal rollouts
        rollouts += 1
        if where == "in a rollout" and rollouts == 4:
            raise KeyboardInterrupt
        return Toy(n)

    start = weights(agent)
    history = train(agent, change(iterations=9), worlds, on_iteration=after)
    assert history.interrupted and [r.iteration for r in history.iterations] == [1, 2, 3]
    assert "Stopped after 3 of 9 iterations; the agent keeps them." in capsys.readouterr().out
    assert torch.equal(weights(agent), reached[-1]) and not torch.equal(reached[-1], start)
    assert not agent.model.training


def test_stopping_it_in_an_update_keeps_what_was_updated(agent, monkeypatch):
    calls = []

    def interrupted(*args):
        calls.append(weights(agent))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return backward(*args)

    monkeypatch.setattr(ppo, "backward", interrupted)
    start = weights(agent)
    history = train(agent, change(minibatches=4, target_kl=None), by_turns)
    assert history.interrupted and history.iterations == []
    assert torch.equal(weights(agent), calls[-1]) and not torch.equal(calls[-1], start)


def test_an_error_in_the_world_is_not_taken_for_a_stop(agent):
    def broken(n):
        raise RuntimeError("the world broke")

    with pytest.raises(RuntimeError, match="the world broke"):
        train(agent, worlds=broken)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"iterations": 0}, "at least one of everything"),
        ({"microbatch": 0}, "at least one of everything"),
        ({"groups": 1, "group_size": 2, "minibatches": 3}, "2 episodes cannot fill 3 minibatches"),
        ({"gamma": 1.1}, "between 0 and 1"),
        ({"lam": -0.1}, "between 0 and 1"),
        ({"temperature": 0.0}, "temperature above 0"),
        ({"clip": -0.2}, "clip above 0"),
        ({"learning_rate": float("nan")}, "learning_rate above 0"),
        ({"target_kl": 0.0}, "target_kl must be above 0, or None"),
        ({"value_clip": -1.0}, "value_clip must be above 0, or None"),
        ({"entropy_weight": -0.1}, "cannot be negative"),
    ],
)
def test_settings_that_cannot_work_get_a_sentence(wrong, message):
    with pytest.raises(UserError, match=message):
        PPOSettings(**wrong)
