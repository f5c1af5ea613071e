"""GRPO through TRL: the world's tokens carry no gradient, equal groups teach nothing, it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from toy import TASKS, Toy, chances
from trl import GRPOTrainer

from dreamgym_nb import grpo
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.grpo import GRPOSettings, train_grpo, uniform_tasks


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """TRL's output folder lies in the home folder; not in the reader's."""
    monkeypatch.setenv("HOME", str(tmp_path))


SMALL = GRPOSettings(iterations=1, groups=2, group_size=4, learning_rate=1e-2, microbatch=8, seed=3)


def train(agent, settings=SMALL, worlds=Toy, **options):
    return train_grpo(agent, worlds, lambda n, rng: TASKS[:n], settings, **options)


# ---- the gradient ---------------------------------------------------------------------------


def flat(gradients):
    return torch.cat([g.flatten() for g in gradients])


def advantages_of(episodes, n):
    """Eq. 3 by hand: ``(r − mean) / std`` in each group (TRL: s with n−1, plus 1e-4)."""
    rewards = np.array([e.trajectory.reward for e in episodes]).reshape(-1, n)
    spread = rewards.std(axis=1, ddof=1, keepdims=True) + 1e-4
    return ((rewards - rewards.mean(axis=1, keepdims=True)) / spread).flatten()


def gradient_by_hand(lm, episodes, n, temperature, world_tokens=False):
    """The gradient of ``−(1/N) Σ Â log π(token)`` over the agent's own tokens.

    Each episode is one pass without padding or cache. With `world_tokens` the sum goes over all
    tokens after the agent's first, as it would if nothing were masked.
    """
    loss, count = 0.0, 0
    for episode, advantage in zip(episodes, advantages_of(episodes, n), strict=True):
        logits = lm.model(input_ids=torch.tensor([episode.tokens])).logits[0]
        table = torch.log_softmax(logits / temperature, -1)
        for i in range(episode.mask.index(1), len(episode.tokens)):
            if episode.mask[i] or world_tokens:
                loss = loss - float(advantage) * table[i - 1, episode.tokens[i]]
                count += 1
    return flat(torch.autograd.grad(loss / count, list(lm.model.parameters())))


@pytest.fixture
def listen(monkeypatch):
    """Hear the gradient of each loss that TRL computes, before anything is done with it."""
    heard = []
    loss_of = GRPOTrainer._compute_loss

    def compute(trainer, model, inputs):
        loss = loss_of(trainer, model, inputs)
        gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        heard.append(flat(gradients).detach())
        return loss

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", compute)
    return heard


@pytest.mark.parametrize(("temperature", "microbatch"), [(1.0, 8), (0.7, 8), (1.0, 4)])
def test_the_world_s_tokens_carry_no_gradient(agent, listen, temperature, microbatch):
    """TRL's own loss has the gradient of the action tokens alone, and not that of all tokens."""
    start, kept = agent.copy(), []
    settings = dataclasses.replace(SMALL, temperature=temperature, microbatch=microbatch)
    train(agent, settings, on_iteration=lambda record, episodes: kept.extend(episodes))
    assert len(kept) == 8 and len(listen) == 8 // microbatch
    assert any(advantages_of(kept, 4)), "the groups are mixed, so there is something to learn"
    masked = [m for e in kept for m in e.mask[e.mask.index(1) :]]
    assert masked.count(0) > masked.count(1), "most tokens after the first action are the world's"

    heard = sum(listen)
    expected = gradient_by_hand(start, kept, 4, temperature)
    unmasked = gradient_by_hand(start, kept, 4, temperature, world_tokens=True)
    size = expected.norm()
    assert size > 1e-3
    assert (heard - expected).norm() < 1e-4 * size
    assert (heard - unmasked).norm() > 0.1 * size, "so the mask matters here"


def test_without_the_mask_the_world_would_be_trained_on(agent, listen, monkeypatch):
    """The same loss with a mask of ones: the gradient becomes that of all tokens."""
    rollout = grpo._Glue.rollout

    def unmasked(glue, prompts, trainer):
        rows = rollout(glue, prompts, trainer)
        return {**rows, "env_mask": [[1] * len(mask) for mask in rows["env_mask"]]}

    monkeypatch.setattr(grpo._Glue, "rollout", unmasked)
    start, kept = agent.copy(), []
    train(agent, on_iteration=lambda record, episodes: kept.extend(episodes))
    expected = gradient_by_hand(start, kept, 4, 1.0, world_tokens=True)
    right = gradient_by_hand(start, kept, 4, 1.0)
    (heard,) = listen
    assert (heard - expected).norm() < 1e-4 * expected.norm()
    assert (heard - right).norm() > 0.1 * right.norm()


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_groups_that_agree_teach_nothing(agent, listen, reward):
    before = [p.detach().clone() for p in agent.model.parameters()]
    settings = dataclasses.replace(SMALL, iterations=3)
    history = train(agent, settings, lambda n: Toy(n, pays=lambda action: reward))
    assert len(listen) == 3 and all(not gradient.any() for gradient in listen)
    assert all(torch.equal(a, b) for a, b in zip(before, agent.model.parameters(), strict=True))
    assert history.column("success") == [reward] * 3
    assert history.column("mixed_groups") == history.column("value_spread") == [0.0] * 3


# ---- learning -------------------------------------------------------------------------------


def test_the_rewarded_action_becomes_likelier(agent):
    """The other two actions, which nothing sets apart, become rarer."""
    before = chances(agent)
    assert 0.15 < before.min() and before.max() < 0.4, "about alike, with room to grow"
    settings = dataclasses.replace(
        SMALL, iterations=16, group_size=16, microbatch=32, learning_rate=1.5e-3
    )
    success = train(agent, settings).column("success")
    after = chances(agent)  # seeds 1 to 3 all pass
    assert after[0] > before[0] + 0.15
    assert (after[1:] < before[1:] - 0.05).all()
    assert np.mean(success[-4:]) > np.mean(success[:4])
    assert not agent.model.training


def test_a_copy_of_a_trained_agent_computes_with_its_own_weights(agent):
    train(agent)
    copy, ids = agent.copy(), torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        before = copy.model(input_ids=ids).logits.clone()
        for weights in agent.model.parameters():
            weights.zero_()
        assert torch.equal(copy.model(input_ids=ids).logits, before)


def test_the_seed_fixes_the_run(player):
    def run(seed):
        agent = player.copy()
        settings = dataclasses.replace(SMALL, iterations=2, seed=seed)
        told = []
        train(agent, settings, on_iteration=lambda r, e: told.append([x.tokens for x in e]))
        return told, flat([p.detach() for p in agent.model.parameters()])

    (told, weights), (again, same), (other, _) = run(1), run(1), run(2)
    assert told == again != other
    assert torch.equal(weights, same)


# ---- the books --------------------------------------------------------------------------------


@pytest.mark.parametrize("minibatches", [1, 2])
def test_each_iteration_leaves_one_record(agent, minibatches):
    settings = dataclasses.replace(SMALL, iterations=3, microbatch=4, minibatches=minibatches)
    seen = []

    def after(record, episodes):
        record.extra["note"] = len(seen)
        seen.append((record, episodes))

    history = train(agent, settings, on_iteration=after)
    assert history.iterations == [record for record, _ in seen] and not history.interrupted
    transitions = 0
    for number, (record, episodes) in enumerate(seen, start=1):
        assert [e.trajectory.task for e in episodes] == [TASKS[0]] * 4 + [TASKS[1]] * 4
        rewards = np.array([e.trajectory.reward for e in episodes]).reshape(2, 4)
        steps = [t for e in episodes for t in e.trajectory.transitions]
        transitions += len(steps)
        assert (record.iteration, record.transitions) == (number, transitions)
        assert record.success == rewards.mean() and record.turns == len(steps) / 8 == 2.0
        assert record.failed_actions == sum(t.failed for t in steps) / len(steps)
        assert record.mixed_groups == np.mean([0 < g.mean() < 1 for g in rewards])
        assert record.value_spread == pytest.approx(
            np.mean([g.mean() * (1 - g.mean()) for g in rewards])
        )
        assert record.entropy > 0 and record.grad_norm >= 0 and record.clip_fraction >= 0
    assert history.column("note") == [0, 1, 2]
    assert history.column("nothing of the kind") == []
    seconds = history.column("seconds")
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert history.iterations[0].to_json()["extra"] == {"note": 0}


def test_tasks_are_drawn_without_repetition_as_far_as_they_go():
    tasks = [Task("toy", f"train/{i}", "x") for i in range(10)]
    pick, rng = uniform_tasks(tasks), np.random.default_rng(0)
    drawn = [pick(8, rng) for _ in range(50)]
    assert all(len({t.id for t in part}) == 8 for part in drawn)
    assert {t.id for part in drawn for t in part} == {t.id for t in tasks}
    assert len(pick(30, rng)) == 30


# ---- what can go wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["after an iteration", "in a rollout"])
def test_stopping_it_keeps_the_agent_and_the_history(agent, capsys, where):
    reached, rollouts = [], 0

    def after(record, episodes):
        reached.append(flat([p.detach().clone() for p in agent.model.parameters()]))
        if where == "after an iteration" and record.iteration == 3:
            raise KeyboardInterrupt

    def worlds(n):
        nonlocal rollouts
        rollouts += 1
        if where == "in a rollout" and rollouts == 4:
            raise KeyboardInterrupt
        return Toy(n)

    start = flat([p.detach().clone() for p in agent.model.parameters()])
    settings = dataclasses.replace(SMALL, iterations=9)
    history = train(agent, settings, worlds, on_iteration=after)
    assert history.interrupted and [r.iteration for r in history.iterations] == [1, 2, 3]
    assert "Stopped after 3 of 9 iterations; the agent keeps them." in capsys.readouterr().out
    now = flat([p.detach() for p in agent.model.parameters()])
    assert torch.equal(now, reached[-1]) and not torch.equal(now, start)
    assert not agent.model.training


def test_an_error_in_the_world_is_not_taken_for_a_stop(agent):
    def broken(n):
        raise RuntimeError("the world broke")

    with pytest.raises(RuntimeError, match="the world broke"):
        train(agent, worlds=broken)


@pytest.mark.parametrize(
    "changed", [{"microbatch": 3}, {"microbatch": 16}, {"microbatch": 4, "minibatches": 3}]
)
def test_numbers_that_do_not_divide_get_a_sentence_before_anything_is_trained(changed):
    with pytest.raises(UserError, match=r"= 8 must be a multiple of microbatch × minibatches"):
        dataclasses.replace(SMALL, **changed)


def test_without_a_task_there_is_nothing_to_practise():
    with pytest.raises(UserError, match="no task to practise"):
        uniform_tasks([])


def test_nothing_is_printed_saved_or_sent(agent, capfd, tmp_path, monkeypatch):
    """TRL tells its makers of each trainer, unless it is told not to."""
    sent = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("huggingface_hub.utils._telemetry._start_telemetry_thread", sent.append)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", False)
    train(agent)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert "".join(capfd.readouterr()) == "" and not sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": 0},
        {"groups": 0},
        {"group_size": 1},
        {"temperature": 0.0},
        {"learning_rate": -1.0},
        {"clip": 0.0},
    ],
)
def test_settings_that_teach_nothing_are_refused(wrong):
    with pytest.raises(UserError, match="GRPO"):
        GRPOSettings(**wrong)


def test_the_first_rollouts_are_learned_from(agent):
    before = [p.detach().clone() for p in agent.model.parameters()]
    history = train(agent, dataclasses.replace(SMALL, group_size=16, microbatch=32))
    assert history.column("mixed_groups")[0] > 0
    assert not all(torch.equal(a, b) for a, b in zip(before, agent.model.parameters(), strict=True))
