"""PPO's loss, data and gradient: the world's tokens carry none, cut episodes are no failures."""

import dataclasses

import numpy as np
import pytest
import torch
from ppo_by_hand import by_turns, change, episodes_of, train, weights
from toy import Toy

from dreamgym_nb.ppo import backward, ppo_loss
from dreamgym_nb.ppo_batch import Batch, gather
from dreamgym_nb.prompts import next_turn
from dreamgym_nb.value import Look, ValueHead


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
