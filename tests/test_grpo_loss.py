"""The thirty lines that a lesson teaches are the loss that TRL computes, as `grpo` runs it."""

import dataclasses
import types

import pytest
import torch
from trl import GRPOTrainer

from dreamgym_nb import grpo
from dreamgym_nb.experience import Task
from dreamgym_nb.grpo import GRPOSettings, train_grpo
from dreamgym_nb.grpo_loss import clipped_gain, group_advantages, grpo_loss
from dreamgym_nb.worlds.vector import Row, VectorWorld

SMALL = GRPOSettings(iterations=1, groups=2, group_size=4, learning_rate=1e-2, microbatch=8, seed=1)
ROWS, PROMPT, COMPLETION = 8, 5, 11


class Coin(VectorWorld):
    """Three turns; pays every other row, whatever is done in it."""

    source = "dream"

    def _begin(self, tasks):
        self.turn = 0
        return [("search page", "search page")] * len(tasks)

    def _advance(self, rows, actions):
        self.turn += 1
        end = self.turn == 3
        return [Row("back to search", "x", float(end and i % 2), end, False, False) for i in rows]


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """TRL's output folder lies in the home folder; not in the reader's."""
    monkeypatch.setenv("HOME", str(tmp_path))


def flat(gradients):
    return torch.cat([g.flatten() for g in gradients])


def our_logprobs(model, inputs, temperature):
    """log π of the completion's tokens, from a plain pass."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    seen = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    table = (model(input_ids=ids, attention_mask=seen).logits / temperature).log_softmax(-1)
    width = inputs["completion_ids"].shape[1]
    return table[:, -width - 1 : -1].gather(-1, inputs["completion_ids"][..., None])[..., 0]


def our_loss(model, inputs, temperature, clip, tokens):
    new = our_logprobs(model, inputs, temperature)
    old = inputs.get("old_per_token_logps")
    mask = inputs["completion_mask"] * inputs["tool_mask"]
    return grpo_loss(
        new, new.detach() if old is None else old, mask, inputs["advantages"], clip, tokens
    )


def assert_same(loss, gradient, ours, model):
    expected = flat(torch.autograd.grad(ours, list(model.parameters())))
    assert loss == pytest.approx(ours.item(), abs=1e-5, rel=0)
    assert expected.abs().max() > 1e-3, "there is something to compare"
    assert (gradient - expected).abs().max() < 1e-5


def crafted(lm, temperature):
    """A batch with every case in it: padding on both sides, holes, ratios beyond ε both ways."""
    random = torch.Generator().manual_seed(11)
    size = len(lm.tokenizer)
    inputs = {
        "prompt_ids": torch.randint(2, size, (ROWS, PROMPT), generator=random),
        "completion_ids": torch.randint(2, size, (ROWS, COMPLETION), generator=random),
        "prompt_mask": torch.ones(ROWS, PROMPT, dtype=torch.long),
        "completion_mask": torch.ones(ROWS, COMPLETION, dtype=torch.long),
        "tool_mask": (torch.rand(ROWS, COMPLETION, generator=random) < 0.6).long(),
    }
    for i in range(ROWS):
        inputs["prompt_mask"][i, : i % 3] = 0
        inputs["completion_mask"][i, COMPLETION - i % 4 :] = 0
    inputs["tool_mask"][:, 0] = 1
    rewards = torch.tensor([1.0, 0, 0, 0, 1, 1, 0, 1])
    inputs["advantages"] = group_advantages(rewards, 4)
    with torch.no_grad():
        away = 0.5 * torch.randn(ROWS, COMPLETION, generator=random)
        inputs["old_per_token_logps"] = our_logprobs(lm.model, inputs, temperature) - away
    counted = (inputs["completion_mask"] * inputs["tool_mask"]).sum()
    inputs["num_items_in_batch"] = counted
    return inputs, away.exp()


@pytest.mark.parametrize(("temperature", "clip"), [(1.0, 0.2), (0.7, 0.1)])
def test_on_one_batch_loss_and_gradients_are_trl_s(lm, temperature, clip):
    settings = dataclasses.replace(SMALL, temperature=temperature, clip=clip)
    trainer = grpo._trainer(lm, types.SimpleNamespace(rollout=None), settings)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    inputs, ratio = crafted(lm, temperature)
    counted = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
    gains = inputs["advantages"][:, None] > 0
    for beyond in (ratio > 1 + clip, ratio < 1 - clip):  # the clip bites, and also does not
        assert (beyond & counted & gains).any() and (beyond & counted & ~gains).any()
    lm.model.train()
    loss = trainer.compute_loss(lm.model, inputs)
    gradient = flat(torch.autograd.grad(loss, list(lm.model.parameters())))
    ours = our_loss(lm.model, inputs, temperature, clip, None)
    assert_same(loss.item(), gradient, ours, lm.model)
    unclipped = our_loss(lm.model, inputs, temperature, 1e9, None)
    assert abs(unclipped.item() - loss.item()) > 1e-2, "so the clip matters here"


def test_what_the_world_said_may_be_as_unlikely_as_it_likes(lm):
    """Its old score is beyond e^88, the largest float; masked, it must change nothing."""
    trainer = grpo._trainer(lm, types.SimpleNamespace(rollout=None), SMALL)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    inputs, _ = crafted(lm, 1.0)
    usual = trainer.compute_loss(lm.model, inputs)
    old = inputs["old_per_token_logps"].masked_fill(inputs["tool_mask"] == 0, -200.0)
    assert (old == -200).any() and (inputs["advantages"] < 0).any()
    odd = trainer.compute_loss(lm.model, {**inputs, "old_per_token_logps": old})
    assert odd.item() == usual.item()


@pytest.mark.parametrize(("microbatch", "minibatches"), [(8, 1), (4, 1), (4, 2)])
def test_in_training_every_loss_is_trl_s(lm, monkeypatch, microbatch, minibatches):
    """TRL runs as `train_grpo` runs it; parts of a batch and stale minibatches included."""
    heard = []
    loss_of = GRPOTrainer._compute_loss

    def compute(trainer, model, inputs):
        loss = loss_of(trainer, model, inputs)
        gradient = flat(torch.autograd.grad(loss, list(model.parameters()), retain_graph=True))
        tokens = inputs["num_items_in_batch"] / minibatches
        ours = our_loss(model, inputs, 1.0, SMALL.clip, tokens)
        assert_same(loss.item(), gradient, ours, model)
        heard.append(inputs)
        return loss

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", compute)
    settings = dataclasses.replace(
        SMALL, microbatch=microbatch, minibatches=minibatches, iterations=2
    )
    tasks = [Task("toy", f"train/{i}", f"find a {thing}") for i, thing in enumerate(("mug", "rug"))]
    train_grpo(lm, Coin, lambda n, rng: tasks[:n], settings)
    assert len(heard) == 2 * 8 // microbatch
    assert all("old_per_token_logps" in inputs for inputs in heard) == (minibatches > 1)
    # Coin pays every other row, TRL shuffles them: the set of advantages is known all the same.
    told = torch.cat([inputs["advantages"] for inputs in heard[: 8 // microbatch]])
    expected = group_advantages(torch.tensor([0.0, 1, 0, 1, 0, 1, 0, 1]), 4)
    assert torch.allclose(told.sort().values, expected.sort().values, atol=1e-6)


def test_advantages_by_hand():
    """Rewards 1, 0, 0, 0: mean ¼, s² = (9/16 + 3/16) / 3 = ¼; groups that agree get 0."""
    rewards = torch.tensor([1.0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    expected = [0.75 / 0.5001, *[-0.25 / 0.5001] * 3, *[0.0] * 8]
    assert group_advantages(rewards, 4).tolist() == pytest.approx(expected)
    assert group_advantages(rewards, 4)[4:].tolist() == [0.0] * 8


def test_the_clip_at_its_edges():
    """Gain and slope on both sides of 0.8 and 1.2, for a good token and a bad one."""
    at = [0.7, 0.8 - 1e-3, 0.8 + 1e-3, 1.0, 1.2 - 1e-3, 1.2 + 1e-3, 1.5]
    ratio = torch.tensor([at, at], requires_grad=True)
    advantages = torch.tensor([[2.0], [-2.0]])
    gain = clipped_gain(ratio, advantages, 0.2)
    gain.sum().backward()
    good = [1.4, 1.598, 1.602, 2.0, 2.398, 2.4, 2.4]
    bad = [-1.6, -1.6, -1.602, -2.0, -2.398, -2.402, -3.0]
    assert gain[0].tolist() == pytest.approx(good) and gain[1].tolist() == pytest.approx(bad)
    assert ratio.grad.tolist() == [[2, 2, 2, 2, 2, 0, 0], [0, 0, -2, -2, -2, -2, -2]]


def test_the_loss_by_hand():
    """Two rows of three tokens, ε = 0.2; the masked token would change everything.

    Row 1, Â = 1: ρ = 1 and 1.5 → gains 1 and 1.2.  Row 2, Â = −2: ρ = 0.5, 1, 1.5 → gains
    −1.6, −2, −3.  Sum −4.4 over 5 tokens: the loss is 0.88.
    """
    ratio = torch.tensor([[1.0, 9.0, 1.5], [0.5, 1.0, 1.5]])
    old = torch.tensor([[-1.0, -2.0, -0.5], [-0.3, -1.0, -2.0]])
    mask = torch.tensor([[1, 0, 1], [1, 1, 1]])
    advantages = torch.tensor([1.0, -2.0])
    args = old + ratio.log(), old, mask, advantages, 0.2
    assert grpo_loss(*args).item() == pytest.approx(0.88)
    assert grpo_loss(*args, tokens=10).item() == pytest.approx(0.44), "a part of a batch of ten"
