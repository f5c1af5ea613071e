"""Lesson 07: its references are the package's, the push of a group, its figures and its tables."""

import numpy as np
import pytest
import torch
from curriculum_by_hand import FREE, TRAIN, curriculum, episode
from matplotlib import pyplot
from toy import TASKS, Toy

from dreamgym_nb import curriculum as package
from dreamgym_nb.course import curriculum_figures as figures
from dreamgym_nb.course import lesson07
from dreamgym_nb.course.curriculum_board import Page, Tried
from dreamgym_nb.curriculum import Judged
from dreamgym_nb.experience import Task
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.store import Records
from dreamgym_nb.grpo_loss import group_advantages, grpo_loss
from dreamgym_nb.loop import Evaluation
from dreamgym_nb.rollout import rollout
from dreamgym_nb.task_filter import TaskFilter
from dreamgym_nb.task_writer import is_written


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


# ---- the references are the package's ---------------------------------------------------------


def test_the_reference_of_v_is_the_package_s():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rewards = rng.random(rng.integers(1, 9)).tolist()
        assert lesson07.value_spread(rewards) == pytest.approx(package.value_spread(rewards))


def test_the_predicted_cluster_is_what_the_package_makes_of_it():
    outcomes = [1, 1, 1, 1, 0, 0, 0, 0]
    tasks = [Task("toy", f"t{i}", f"find a mug for ${i}") for i in range(8)]
    some = [episode(t, r) for t, r in zip(tasks, outcomes, strict=True)]
    (value,) = {j.value for j in package.judge_tasks(some, 1, cluster_size=8)}
    assert f"{value:g}" == lesson07.CLUSTER_GUESS.solution


def test_the_test_tasks_are_kept_out_as_the_filter_keeps_them_out():
    judge = TaskFilter(TRAIN, [Task("toy", "x", "find a red mug")], lambda task: "here")
    for text in ("find a red mug", "Find a mug red", "find a red rug", "find a red red mug"):
        assert judge.is_test(Task("toy", "w", text)) is lesson07.same_words(text, "find a red mug")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.29, 0.5, 1.0])
def test_the_split_is_the_curriculum_s(share):
    pool = curriculum(*FREE[:3])
    pool.observe([episode(TRAIN[0], r) for r in (1, 0, 0, 0)], 4)
    assert len(pool.pool) == 3
    pool.share = share
    for n in (1, 4, 7, 10, 100):
        picked = pool(n, np.random.default_rng(0))
        written = sum(map(is_written, picked))
        assert (written, n - written) == lesson07.split_tasks(n, share, 3)
        assert len(picked) == n


# ---- the push of a group ----------------------------------------------------------------------


@pytest.fixture
def groups(agent):
    """A few groups of eight tries; some disagree."""
    some = [TASKS[0]] * 24
    played = rollout(agent, Toy, some, generator=torch.Generator().manual_seed(0))
    return [played[i : i + 8] for i in range(0, 24, 8)]


def lay_out(lm, group):
    wide = max(len(e.tokens) for e in group)
    ids = torch.tensor([e.tokens + [lm.pad] * (wide - len(e.tokens)) for e in group])
    mask = torch.tensor([e.mask + [0] * (wide - len(e.tokens)) for e in group]).float()
    return ids, mask


def test_the_push_is_the_length_of_grpo_s_gradient(agent, groups):
    mixed = [g for g in groups if 0 < sum(e.trajectory.reward for e in g) < 8]
    assert mixed
    for group in mixed:
        rewards = torch.tensor([e.trajectory.reward for e in group])
        ids, mask = lay_out(agent, group)
        scores = agent.model(input_ids=ids[:, :-1]).logits.log_softmax(-1)
        now = scores.gather(-1, ids[:, 1:, None])[..., 0]
        agent.model.zero_grad()
        advantages = group_advantages(rewards, 8)
        grpo_loss(now, now.detach(), mask[:, 1:], advantages).backward()
        grads = [w.grad.flatten() for w in agent.model.parameters() if w.grad is not None]
        whole = torch.cat(grads).norm().item()
        centred, grpo = lesson07.push(agent, group)
        assert grpo == pytest.approx(whole, rel=1e-3)
        assert centred == pytest.approx(whole * (rewards.std().item() + 1e-4), rel=1e-3)
        left = [w.grad for w in agent.model.parameters() if w.grad is not None]
        assert not any(g.abs().sum() for g in left), "it leaves no gradient behind"


def test_a_group_that_agrees_pushes_nothing(agent, groups):
    one = groups[0][0]
    assert lesson07.push(agent, [one] * 4) == (0.0, 0.0)


# ---- figures ----------------------------------------------------------------------------------


def test_the_arch_has_a_dot_for_each_outcome():
    fig, rows = figures.draw_arch([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert rows == [
        {"successes of 4": 0, "tasks": 1, "V_τ": 0.0},
        {"successes of 4": 1, "tasks": 2, "V_τ": 3 / 16},
    ]
    assert len(fig.axes[0].collections) == 2


def test_pushes_are_tabled_by_v_and_only_groups_that_disagree_are_drawn():
    lengths = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    rewards = [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]
    fig, rows = figures.draw_pushes({0.25: (0.1, 0.2), 0.5: (0.2, 0.3)}, rewards, lengths)
    assert [row["groups"] for row in rows] == [1, 2]
    assert (rows[1]["mean length, centred"], rows[1]["mean length, GRPO"]) == (2.0, 3.0)
    arches = [line.get_ydata() for line in fig.axes[1].get_lines()]
    assert [max(arch) for arch in arches] == pytest.approx([2 * 4 / 3, 3 / 3**0.5 * 2])
    drawn = [c.get_offsets().data.tolist() for c in fig.axes[1].collections]
    assert drawn == [[[0.25, 1.0], [0.75, 3.0]], [[0.25, 2.0], [0.75, 4.0]]]


def judged(id, success):
    return Judged(Task("toy", id, id), success * (1 - success), success, 8, "", 1.0)


def test_made_up_tasks_are_counted_by_what_exists():
    trial = [judged("a", 0.5), judged("b", 0.0), judged("c", 0.5), judged("d", 0.25)]
    exists = {"a": True, "b": True, "c": True, "d": False}
    fig, (sold, not_sold) = figures.draw_made_up(trial, exists)
    assert (sold["tasks"], sold["V_τ above 0"], sold["paid for in the dream"]) == (3, 2, 2)
    assert sold["mean V_τ"] == pytest.approx(0.5 / 3)
    assert (not_sold["tasks"], not_sold["paid for in the dream"]) == (1, 1)
    assert len({tuple(c.get_offsets()[0]) for c in fig.axes[0].collections}) == 4, "none is hidden"
    _, rows = figures.draw_made_up([], {})
    assert [row["tasks"] for row in rows] == [0, 0]


def mark(success):
    return Evaluation(success, success / 2, 1 - (1 - success) / 2, 10, 5.0, 0.0, 50)


def test_rules_are_tabled_with_their_tasks_and_their_exam():
    own, made_up = Tried("x", (1.0, 0.0), 0.25), Tried("y", (0.0, 0.0), 0.0, "x")
    pages = [Page(1, (own, own)), Page(2, (own, made_up))]
    marks = {"start": mark(0.2), "V_τ": mark(0.4)}
    fig, (start, rule) = figures.draw_rules({"V_τ": pages}, marks, {"V_τ": 120})
    assert (start["groups"], start["exam"], start["dreamed steps"]) == ("–", 0.2, "–")
    assert (rule["groups"], rule["that teach"], rule["made up"]) == (4, 3, 1)
    assert (rule["mean V_τ"], rule["dreamed steps"]) == (0.75 / 4, 120)
    assert rule["95%"] == "0.20 to 0.70"
    assert [len(ax.containers) for ax in fig.axes] == [1, 2]


def test_recorded_shares_are_told_for_each_seed_at_both_ends():
    def record(seed, first, last):
        shares = [first] * 5 + [0.5] + [last] * 5
        rows = [{"mixed_groups": s, "success": 1 - s} for s in shares]
        return {"seed": seed, "history": rows}

    _, (one, other) = figures.draw_teaching([record(0, 0.9, 0.3), record(4, 0.7, 0.1)])
    assert (one["seed"], other["seed"]) == (0, 4)
    assert (one["teach, first 5"], one["teach, last 5"]) == pytest.approx((0.9, 0.3))
    assert other["success in the dream, last 5"] == pytest.approx(0.9)


# ---- recorded runs ----------------------------------------------------------------------------


def test_recorded_runs_are_compared_with_uniform_tasks_seed_by_seed(tmp_path):
    def save(variant, seed, success, **told):
        body = {"settings": {}, "date": f"2026-01-0{seed + 1}", **told}
        body["exam"] = {"real": {"success": success}}
        Records(tmp_path).save(Run("shop", "grpo_dream", seed, variant), body)

    for seed, (uniform, full) in enumerate([(0.4, 0.5), (0.5, 0.7)]):
        save("no_tasks", seed, uniform)
        save("", seed, full, curriculum={"lambda": 0.25, "share_used": 0.2})
    save("band", 0, 0.45, curriculum={"low": 0.2, "share_used": 0.4})
    uniform, band, full = figures.recorded_rows("curriculum", tmp_path)
    assert (uniform["more than uniform"], uniform["made up"], uniform["seeds"]) == ("–", "–", 2)
    assert (band["success"], band["made up"], band["more than uniform"]) == ("0.45", "–", "–")
    assert full["more than uniform"].startswith("+0.15 (")
    assert full["made up"].startswith("0.20") and full["until"] == "2026-01-02"
    text = figures.recorded_text("curriculum", tmp_path)
    assert "| V_τ and M_task (λ = 0.25) |" in text and "Recorded runs" in text
    assert "Not recorded yet" not in text
    missing = figures.recorded_text("lambda", tmp_path)
    assert "Not recorded yet: λ = 0.1, λ = 0.5, λ = 0.75. To make them" in missing
    assert [row["rule"] for row in figures.recorded_rows("lambda", tmp_path)] == [
        "uniform (λ = 0)",
        "V_τ and M_task (λ = 0.25)",
    ]


def test_what_is_not_recorded_is_not_invented(tmp_path):
    assert figures.recorded_rows("lambda", tmp_path) == []
    text = figures.recorded_text("lambda", tmp_path)
    assert "Not recorded yet: uniform (λ = 0), λ = 0.1, V_τ" in text and "|" not in text
    assert "`dreamgym results lambda`" in text
    assert "`dreamgym results curriculum`" in figures.recorded_books(tmp_path)


def test_the_books_tell_what_was_written_and_whether_it_taught_more(tmp_path):
    for seed, (own, made_up) in enumerate([(0.10, 0.15), (0.20, 0.21), (0.15, None)]):
        told = {
            "written": 20,
            "accepted": 10 + seed,
            "retired": {"too easy": 1, "not feasible": 2},
            "value_spread": {"original": own, "written": made_up},
            "success": {"original": 0.4, "written": 0.5},
        }
        body = {"settings": {}, "date": "2026-01-01", "curriculum": told}
        Records(tmp_path).save(Run("shop", "grpo_dream", seed), body)
    text = figures.recorded_books(tmp_path)
    assert "| 1 | 20 | 11 | 3 | 0.200 | 0.210 | 0.400 | 0.500 |" in text
    assert "| 2 | 20 | 12 | 3 | 0.150 | – |" in text
    assert "drawn uniformly: +0.030 (95% interval " in text and "2 seeds)" in text
