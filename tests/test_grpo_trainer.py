"""The trainer without padding says what TRL's says; the loss is held in test_grpo_loss."""

import dataclasses
import types

import pytest
import torch
from trl import GRPOTrainer

from dreamgym_nb import grpo, grpo_trainer
from dreamgym_nb.grpo import GRPOSettings
from dreamgym_nb.grpo_trainer import by_length, completion_scores
from dreamgym_nb.worlds.vector import RealWorlds

SETTINGS = GRPOSettings(iterations=1, groups=2, group_size=4, microbatch=8, seed=1)
PROMPT, COMPLETION = 5, 9


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """TRL's output folder lies in the home folder; not in the reader's."""
    monkeypatch.setenv("HOME", str(tmp_path))


def batch(lm, rows=6):
    """Prompts padded on the left, completions on the right, each row otherwise."""
    random = torch.Generator().manual_seed(4)
    ids = torch.randint(2, len(lm.tokenizer), (rows, PROMPT + COMPLETION), generator=random)
    mask = torch.ones_like(ids)
    for i in range(rows):
        mask[i, : i % 4] = 0
        mask[i, PROMPT + COMPLETION - (i * 5) % 7 :] = 0
    return ids, mask


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_scores_and_entropies_are_trl_s_where_tokens_are_real(lm, temperature):
    settings = dataclasses.replace(SETTINGS, temperature=temperature)
    trainer = grpo._trainer(lm, types.SimpleNamespace(rollout=None), settings)
    ids, mask = batch(lm)
    asked = (lm.model, ids, mask, COMPLETION)
    real = mask[:, PROMPT:].bool()
    assert not real.all()
    with torch.no_grad():
        trl, entropy, _ = GRPOTrainer._get_per_token_logps_and_entropies(
            trainer, *asked, compute_entropy=True
        )
        for size in (None, 4):  # whole, and in parts
            ours = trainer._get_per_token_logps_and_entropies(
                *asked, batch_size=size, compute_entropy=True
            )
            assert torch.allclose(ours[0][real], trl[real], atol=1e-5)
            assert torch.allclose(ours[1][real], entropy[real], atol=1e-4)
            assert not ours[0][~real].any() and not ours[1][~real].any()


def test_nothing_padded_is_computed(lm, monkeypatch):
    ids, mask = batch(lm)
    seen = []
    forward = lm.model.forward
    monkeypatch.setattr(
        lm.model,
        "forward",
        lambda **given: seen.append(given["input_ids"].shape) or forward(**given),
    )
    completion_scores(lm.model, ids, mask, COMPLETION)
    assert seen == [(6, int(mask.sum(1).max()) - 1)]


def test_in_training_only_what_the_agent_said_is_scored(lm, monkeypatch):
    """Loss and gradients without the world's tokens are TRL's: `test_grpo_loss` holds them."""
    ids, mask = batch(lm)
    own = (torch.arange(COMPLETION) % 3 == 0).long().expand(len(ids), COMPLETION)
    counted = (own * mask[:, PROMPT:]).bool()
    asked = (lm.model, ids, mask, COMPLETION)
    trainer = grpo._trainer(lm, types.SimpleNamespace(rollout=None), SETTINGS)
    scored, every = [], completion_scores(*asked)
    lm.model.get_output_embeddings().register_forward_hook(
        lambda module, given, scores: scored.append(scores.shape[1])
    )

    def loss_of(trainer, model, inputs):
        return trainer._get_per_token_logps_and_entropies(*asked, compute_entropy=True)

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", loss_of)
    ours = trainer._compute_loss(lm.model, {"tool_mask": own})
    assert scored == [int(counted.sum())]
    for some, all_of_them in zip(ours[:2], every, strict=True):
        assert torch.allclose(some, all_of_them * counted, atol=1e-5)
    trainer._get_per_token_logps_and_entropies(*asked)
    assert scored[1] == int(mask[:, PROMPT:].sum()), "nothing of it is left for other passes"


def test_rows_of_one_length_pass_together():
    lengths = [3, 9, 4, 8, 2, 7]
    mask = torch.zeros(6, 9, dtype=torch.long)
    for row, n in zip(mask, lengths, strict=True):
        row[:n] = 1
    passes = [
        {
            "prompt_mask": torch.ones(3, 1, dtype=torch.long),
            "completion_mask": part,
            "advantages": torch.tensor(own, dtype=torch.float),
            "num_items_in_batch": torch.tensor(33),
        }
        for part, own in ((mask[:3], lengths[:3]), (mask[3:], lengths[3:]))
    ]
    first, second = by_length(passes)
    assert first["advantages"].tolist() == first["completion_mask"].sum(1).tolist() == [2, 3, 4]
    assert second["advantages"].tolist() == second["completion_mask"].sum(1).tolist() == [7, 8, 9]
    assert first["num_items_in_batch"] == second["num_items_in_batch"] == 33
    assert passes[0]["advantages"].tolist() == lengths[:3], "what was given stays as it was"
    assert first["teaches"] and second["teaches"]


@pytest.mark.parametrize("own", [[0, 0.5, 0, 0, -0.5, 0], [0] * 6], ids=["some", "none"])
def test_rows_without_advantage_come_last_and_are_not_passed(lm, own):
    mask = torch.ones(6, 9, dtype=torch.long)
    passes = [
        {
            "prompt_mask": torch.ones(2, 1, dtype=torch.long),
            "completion_mask": mask[i : i + 2],
            "advantages": torch.tensor(own[i : i + 2], dtype=torch.float),
        }
        for i in (0, 2, 4)
    ]
    sorted_ones = by_length(passes)
    assert [p["teaches"] for p in sorted_ones] == [True, False, False]
    assert sorted_ones[0]["advantages"].tolist() == [own[1], own[4]]
    trainer = grpo._trainer(lm, types.SimpleNamespace(rollout=None), SETTINGS)
    lm.model.zero_grad()
    loss = trainer._compute_loss(lm.model, sorted_ones[1])  # TRL would want more than this
    loss.backward()
    assert loss.item() == 0
    grads = [p.grad for p in lm.model.parameters()]
    assert all(g is not None and not g.any() for g in grads), "as from a loss that is zero"


def test_an_update_is_the_same_without_the_passes_that_teach_nothing(lm, shop, monkeypatch):
    """Two groups, one of which all fail: weights after the update with them and without."""

    def rewards(outcome, **_):
        return [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]

    monkeypatch.setattr(grpo, "_outcome_reward", rewards)
    settings = dataclasses.replace(SETTINGS, microbatch=2)
    scored = []

    def spy(*given):
        scored.append(len(given[1]))
        return completion_scores(*given)

    def updated(sort):
        one = lm.copy()
        scored.clear()
        monkeypatch.setattr(grpo_trainer, "by_length", sort)
        tasks = grpo.uniform_tasks(shop.tasks("train"))
        grpo.train_grpo(one, lambda n: RealWorlds(shop, n), tasks, settings)
        return list(one.model.parameters()), len(scored)

    monkeypatch.setattr(grpo_trainer, "completion_scores", spy)
    with_them, four = updated(lambda passes: [{**p, "teaches": True} for p in by_length(passes)])
    without, two = updated(by_length)
    assert (four, two) == (4, 2)
    before = list(lm.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(with_them, before, strict=True))
    for a, b in zip(with_them, without, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
