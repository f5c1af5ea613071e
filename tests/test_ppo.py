"""PPO: the world's tokens carry no gradient, cut episodes are no failures, V learns, it learns."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from dreamgym_nb import ppo
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.ppo import PPOSettings, backward, ppo_loss, train_ppo
from dreamgym_nb.ppo_batch import Batch, gather
from dreamgym_nb.prompts import action_text, first_turn, next_turn
from dreamgym_nb.rollout import rollout
from dreamgym_nb.training import Sample, fit
from dreamgym_nb.value import Look, ValueHead
from dreamgym_nb.worlds.vector import Row, VectorWorld

TASKS = [Task("toy", f"train/{i}", f"find a {thing}") for i, thing in enumerate(("mug", "rug"))]
FIRST = ("search[mug]", "search[rug]")
THEN = ("click[red]", "click[blue]", "click[green]")
PAGE = "item b10 casual steel mug $5\ncolor: red blue green\nback to search | < prev | buy now"


class Toy(VectorWorld):
    """Two turns; the first action does nothing, the second is paid by `pays` or runs out of time.

    `pays` gives None where the episode is only cut short.
    """

    source = "dream"

    def __init__(self, num_envs, pays=lambda action: float(action == "click[red]")):
        super().__init__(num_envs)
        self.pays = pays

    def _begin(self, tasks):
        self.turn = 0
        return [("search page", "search page")] * len(tasks)

    def _advance(self, rows, actions):
        self.turn += 1
        if self.turn == 1:
            return [Row(PAGE, PAGE, 0.0, False, False, a not in FIRST) for a in actions]
        paid = [self.pays(a) for a in actions]
        return [
            Row("you left", "you left", r or 0.0, r is not None, r is None, a not in THEN)
            for r, a in zip(paid, actions, strict=True)
        ]


def by_turns(n):
    """Pays every other episode, whatever is done: there is always something to learn from."""
    paid = itertools.cycle((0.0, 1.0))
    return Toy(n, lambda action: next(paid))


@pytest.fixture(scope="module")
def player(untrained):
    """A tiny agent that takes each of the toy's actions about equally often."""
    lm = untrained.copy()
    samples = [
        Sample.of(
            (lm.encode(first_turn(task.instruction, "search page")), False),
            (lm.encode(action_text(first)), True),
            (lm.encode(next_turn(PAGE)), False),
            (lm.encode(action_text(then)), True),
        )
        for task in TASKS
        for first in FIRST
        for then in THEN
    ]
    fit(lm, samples, steps=60, learning_rate=1e-2)
    return lm


@pytest.fixture
def agent(player):
    return player.copy()


SMALL = PPOSettings(
    iterations=1, groups=2, group_size=4, learning_rate=1e-3, epochs=1, minibatches=1, seed=1
)


def change(**options):
    return dataclasses.replace(SMALL, **options)


def train(agent, settings=SMALL, worlds=Toy, **options):
    return train_ppo(agent, worlds, lambda n, rng: TASKS[:n], settings, **options)


def episodes_of(agent, worlds=Toy, n=4, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return rollout(agent, worlds, [t for t in TASKS for _ in range(n)], generator=generator)


def weights(lm):
    return torch.cat([p.detach().flatten().clone() for p in lm.model.parameters()])


def noisy_head(lm):
    head = ValueHead.on(lm)
    torch.nn.init.normal_(head.weight, std=0.1, generator=torch.Generator().manual_seed(2))
    return head


# ---- the loss -------------------------------------------------------------------------------


def loss_of(ratio, advantages, values=None, **options):
    """The loss of tokens that had log π = −1 and V = 0.5, with returns of 1 and entropy ½."""
    n = len(ratio)
    old = Look(torch.full((n,), -1.0), torch.full((n,), 0.5), torch.zeros(n))
    values = torch.full((n,), 0.5) if values is None else torch.tensor(values)
    new = Look(old.logprobs + torch.as_tensor(ratio).log(), values, torch.full((n,), 0.5))
    return ppo_loss(new, old, torch.tensor(advantages), torch.ones(n), change(**options))


def test_the_loss_by_hand():
    """Four tokens, ε = 0.2, c_V = ½, c_H = 0.1.

    Gains: min(1, 1) = 1; min(1.5, 1.2) = 1.2; min(−0.5, −0.8) = −0.8; min(−1.5·2, −1.2·2) = −3.
    Policy loss: −(1 + 1.2 − 0.8 − 3) / 4 = 0.4.
    Values 0.5, 1, 0, 2 for returns of 1: errors ¼, 0, 1, 1; value loss ½ · 2.25 / 4 = 0.28125.
    Loss: 0.4 + ½ · 0.28125 − 0.1 · ½ = 0.490625.
    Clipped: the second and the third, of four.  The fourth is beyond ε but is still pushed back.
    KL: ρ − 1 − log ρ = 0, 0.5 − log 1.5, −0.5 + log 2, 0.5 − log 1.5, by four.
    """
    loss, said = loss_of(
        [1.0, 1.5, 0.5, 1.5],
        [1.0, 1.0, -1.0, -2.0],
        values=[0.5, 1.0, 0.0, 2.0],
        entropy_weight=0.1,
    )
    kl = (0.5 - np.log(1.5) - 0.5 + np.log(2) + 0.5 - np.log(1.5)) / 4
    assert loss.item() == pytest.approx(0.490625)
    assert said == pytest.approx(
        {
            "policy_loss": 0.4,
            "value_loss": 0.28125,
            "entropy": 0.5,
            "clip_fraction": 0.5,
            "approx_kl": kl,
        }
    )


def test_the_value_loss_clipped_by_hand():
    """Old V ½, returns 1, at most 0.2 away from the old V.

    V = 1 is right but too far: counted as 0.7, error 0.09.  V = 0.6 is near: 0.16.  V = 0 is too
    far the wrong way, and the worse of 1 and (0.3 − 1)² counts.  ½ · (0.09 + 0.16 + 1) / 3.
    """
    _, said = loss_of([1.0] * 3, [0.0] * 3, values=[1.0, 0.6, 0.0], value_clip=0.2)
    assert said["value_loss"] == pytest.approx(0.5 * 1.25 / 3)
    assert said["clip_fraction"] == 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.0, 1.0, 1.0),
        (1.2 - 1e-4, 1.0, 1.2),
        (1.2 + 1e-4, 1.0, 0.0),  # good enough: nothing more to gain
        (0.8 - 1e-4, 1.0, 0.8),  # too rare for a good token: pushed up
        (0.8 + 1e-4, -1.0, -0.8),
        (0.8 - 1e-4, -1.0, 0.0),  # rare enough for a bad token
        (1.2 + 1e-4, -1.0, -1.2),  # too likely for a bad token: pushed down
    ],
)
def test_the_slope_at_the_clip(ratio, advantage, slope):
    """∂loss / ∂log π = −ρÂ inside, 0 where more would pay no more; no jump of the loss."""
    at = torch.tensor([ratio], requires_grad=True)
    loss, said = loss_of(at, [advantage])
    loss.backward()
    assert -(at.grad * at).item() == pytest.approx(slope, abs=1e-3)
    assert said["clip_fraction"] == float(slope == 0)
    assert said["policy_loss"] == pytest.approx(-advantage * np.clip(ratio, 0.8, 1.2), abs=1e-3)


# ---- the data -------------------------------------------------------------------------------


def red_pays_blue_is_cut(action):
    return {"click[red]": 1.0, "click[blue]": None}.get(action, 0.0)


def test_a_batch_is_the_episodes(agent):
    """Tokens, whose they are, and what was paid: at the last token of an action."""
    episodes = episodes_of(agent, n=8)
    batch = Batch.of(agent, episodes)
    assert sum(e.trajectory.success for e in episodes) not in (0, len(episodes))
    for i, e in enumerate(episodes):
        n = len(e.tokens)
        assert batch.ids[i, :n].tolist() == e.tokens
        assert batch.agent[i].tolist() == [bool(m) for m in e.mask] + [False] * (
            batch.ids.shape[1] - n
        )
        paid = [0.0] * batch.ids.shape[1]
        paid[n - 1] = e.trajectory.reward
        assert batch.rewards[i].tolist() == paid
        own = torch.tensor([e.trajectory.reward] * sum(e.mask))
        assert torch.equal(batch.take([i]).earned(), own)
    assert not batch.after.any()


class Wages(Toy):
    """Pays in the middle too, which outcome rewards do not."""

    def _advance(self, rows, actions):
        done = super()._advance(rows, actions)
        return [dataclasses.replace(r, reward=0.25 * self.turn) for r in done]


def test_each_reward_is_paid_where_its_action_ends(agent):
    episodes = episodes_of(agent, Wages)
    batch = Batch.of(agent, episodes)
    for i, e in enumerate(episodes):
        second = e.mask.index(0, e.mask.index(1))  # the world's first token after the first action
        assert batch.rewards[i].nonzero()[:, 0].tolist() == [second - 1, len(e.tokens) - 1]
        assert batch.rewards[i, second - 1] == 0.25 and batch.rewards[i, len(e.tokens) - 1] == 0.5


@pytest.mark.parametrize("bootstrap", [True, False])
def test_cut_short_is_not_failed(agent, bootstrap):
    """Where time ran out the last state's V takes the place of what did not come any more."""
    episodes = episodes_of(agent, lambda n: Toy(n, red_pays_blue_is_cut), n=12)
    kinds = {(e.trajectory.truncated, e.trajectory.success) for e in episodes}
    assert kinds == {(True, False), (False, True), (False, False)}
    head = noisy_head(agent)
    batch = Batch.of(agent, episodes, bootstrap)
    gather(agent, head, batch, change(normalise=False, lam=1.0, bootstrap=bootstrap))
    for i, e in enumerate(episodes):
        worth = e.trajectory.reward
        if e.trajectory.truncated and bootstrap:
            text = e.tokens + agent.encode(next_turn("you left"))
            out = agent.model(input_ids=torch.tensor([text]), output_hidden_states=True)
            worth = head(out.hidden_states[-1][0, -1:]).item()
            assert abs(worth) > 0.01
            assert batch.after[i].nonzero()[:, 0].tolist() == [len(text)]
        else:
            assert not batch.after[i].any()
        # With λ = 1 the return is the same at every token of the agent, and V is taken off it.
        here = batch.agent[i]
        assert batch.returns[i, here].tolist() == pytest.approx([worth] * sum(e.mask), abs=1e-5)
        left = (batch.returns - batch.values)[i, here]
        assert torch.allclose(batch.advantages[i, here], left, atol=1e-6)


def test_what_is_gathered_is_what_acted(agent):
    """Old log-probabilities are the rollout's own; advantages have mean 0 and deviation 1.

    V is to become what came, however small the λ of the advantages is.
    """
    episodes = episodes_of(agent, by_turns)
    batch = Batch.of(agent, episodes)
    gather(agent, noisy_head(agent), batch, change(microbatch=3, lam=0.5))
    assert torch.allclose(batch.returns[batch.agent], batch.earned(), atol=1e-5)
    for i, e in enumerate(episodes):
        got = batch.logprobs[i, : len(e.tokens)].tolist()
        assert got == pytest.approx(e.logprobs, abs=1e-4)
    own = batch.advantages[batch.agent]
    assert float(own.mean()) == pytest.approx(0, abs=1e-5) and float(own.std()) == pytest.approx(1)
    assert not batch.advantages[~batch.agent].any()


# ---- the gradient ---------------------------------------------------------------------------


def gradient(agent, head, batch, settings):
    agent.model.zero_grad()
    head.zero_grad()
    said = backward(agent, head, batch, settings)
    parameters = [*agent.model.parameters(), *head.parameters()]
    return torch.cat([p.grad.flatten() for p in parameters]), said


def gradient_by_hand(agent, head, episodes, batch, settings, world_tokens=False):
    """Of ``−(1/N) Σ ρ Â + ½ c_V (V − R)²``, each episode one pass without padding.

    With `world_tokens` the sum goes over all tokens after the agent's first, as it would if
    nothing were masked, each with the advantage of the agent's token before it.
    """
    loss, count = 0.0, 0
    for i, e in enumerate(episodes):
        out = agent.model(input_ids=torch.tensor([e.tokens]), output_hidden_states=True)
        table = (out.logits[0] / settings.temperature).log_softmax(-1)
        values = head(out.hidden_states[-1][0])
        for t in range(e.mask.index(1), len(e.tokens)):
            own = t if e.mask[t] else own  # noqa: F821
            if e.mask[t] or world_tokens:
                loss = loss - float(batch.advantages[i, own]) * table[t - 1, e.tokens[t]]
                error = values[t - 1] - float(batch.returns[i, own])
                loss = loss + settings.value_weight * 0.5 * error**2
                count += 1
    parameters = [*agent.model.parameters(), *head.parameters()]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss / count, parameters)])


@pytest.mark.parametrize(("temperature", "microbatch"), [(1.0, 8), (0.7, 3), (1.0, 1)])
def test_the_world_s_tokens_carry_no_gradient(agent, temperature, microbatch):
    """On fresh data ρ = 1, so the gradient is that of ``Â log π`` over the agent's tokens alone."""
    settings = change(temperature=temperature, microbatch=microbatch)
    episodes, head = episodes_of(agent), noisy_head(agent)
    batch = Batch.of(agent, episodes)
    gather(agent, head, batch, settings)
    got, said = gradient(agent, head, batch, settings)
    expected = gradient_by_hand(agent, head, episodes, batch, settings)
    unmasked = gradient_by_hand(agent, head, episodes, batch, settings, world_tokens=True)
    assert expected.norm() > 1e-3
    assert (got - expected).norm() < 1e-4 * expected.norm()
    assert (got - unmasked).norm() > 0.1 * expected.norm(), "so the mask matters here"
    assert said["approx_kl"] == pytest.approx(0, abs=1e-6) and said["clip_fraction"] == 0


def test_where_nothing_is_ever_paid_nothing_is_learned(agent):
    """Returns of 0 and V = 0: no advantage, no error, and not a weight moves."""
    before = weights(agent)
    history = train(agent, change(iterations=2), lambda n: Toy(n, pays=lambda action: 0.0))
    assert torch.equal(before, weights(agent))
    assert history.column("success") == history.column("mixed_groups") == [0.0, 0.0]


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


def chances(lm):
    """P(then | a first turn), for each of the three actions, by a full pass."""
    start = [
        *lm.encode(first_turn(TASKS[0].instruction, "search page")),
        *lm.encode(action_text(FIRST[0])),
        *lm.encode(next_turn(PAGE)),
    ]
    out = []
    for action in THEN:
        tokens = [*start, *lm.encode(action_text(action))]
        with torch.no_grad():
            table = lm.model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        out.append(
            float(sum(table[i - 1, tokens[i]] for i in range(len(start), len(tokens))).exp())
        )
    return np.array(out)


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
