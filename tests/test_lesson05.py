"""Lesson 05: the time machine, the diary of a run, and the agent that it starts from."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from dreamgym_nb.advantages import gae
from dreamgym_nb.course import lesson05, lesson05_values, stock, time_machine
from dreamgym_nb.course.time_machine import Diary, Group, Moment, TrainingTimeMachine
from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.store import Records
from dreamgym_nb.grpo import record_of
from dreamgym_nb.grpo_loss import group_advantages, grpo_loss
from dreamgym_nb.rollout import Episode


def moment(iteration, success=0.5, groups=()):
    return Moment(iteration, 100 * iteration, success, 0.125, 0.75, 0.25, groups)


GROUPS = (Group("find a <mug>", (1.0, 0.0, 0.0, 1.0)), Group("find a rug", (0.0,) * 4))
RUNS = {
    "long": [moment(1, 0.25, GROUPS), moment(2), moment(3, 0.75)],
    "short": [moment(1, 0.0), moment(2, 1.0)],
}


@pytest.fixture
def machine():
    return TrainingTimeMachine(RUNS)


def assert_shows(machine, run, at):
    moments = RUNS[run]
    assert (machine.run.value, machine.slider.value) == (run, at + 1)
    assert machine.slider.max == len(moments)
    assert machine.page.value == time_machine.moment_html(moments, at)
    assert f"Iteration {at + 1} of {len(moments)}, " in machine.status.value


# ---- the widget -------------------------------------------------------------------------------


def test_the_machine_starts_at_the_first_iteration_of_the_first_run(machine):
    assert_shows(machine, "long", 0)


def test_the_slider_and_the_buttons_move_through_a_run(machine):
    machine.slider.value = 3
    assert_shows(machine, "long", 2)
    machine.next.click()
    assert_shows(machine, "long", 2)
    machine.previous.click()
    assert_shows(machine, "long", 1)
    machine.on_previous()
    machine.on_previous()
    assert_shows(machine, "long", 0)
    machine.on_next()
    assert_shows(machine, "long", 1)


def test_another_run_starts_at_its_beginning_whatever_its_length(machine):
    machine.slider.value = 3
    machine.run.value = "short"
    assert_shows(machine, "short", 0)
    machine.next.click()
    assert_shows(machine, "short", 1)
    machine.run.value = "long"
    assert_shows(machine, "long", 0)


@pytest.mark.parametrize("runs", [{}, {"empty": []}])
def test_a_machine_without_a_run_says_what_to_do(runs):
    with pytest.raises(UserError, match="train first"):
        TrainingTimeMachine(runs)


# ---- its picture ------------------------------------------------------------------------------


def test_a_moment_shows_its_groups_and_what_they_teach():
    html = time_machine.moment_html(RUNS["long"], 0)
    assert "●○○●" in html and "○○○○" in html
    assert "find a &lt;mug&gt;" in html and "<mug>" not in html
    assert html.count("all agree: nothing") == 1 and html.count(">teaches<") == 1
    assert 'aria-label="2 of 4 succeed"' in html
    assert "<table" not in time_machine.moment_html(RUNS["long"], 1), "none were kept there"


def test_a_moment_that_does_not_exist_is_refused():
    for at in (-1, 3):
        with pytest.raises(UserError, match="has 3 iterations"):
            time_machine.moment_html(RUNS["long"], at)


def test_the_curve_ends_at_the_last_moment_and_leaves_out_what_was_not_measured():
    def points(moments):
        line = time_machine.curve_svg(moments, 0).split('<polyline points="')[1].split('"')[0]
        return [tuple(map(float, p.split(","))) for p in line.split()]

    drawn = points(RUNS["long"])
    assert len(drawn) == 3 and [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert drawn[0][1] > drawn[1][1] > drawn[2][1], "more success lies higher"
    assert len(points([moment(1, math.nan), moment(2)])) == 1


def test_the_spread_of_a_group_is_the_variance_of_its_rewards():
    assert GROUPS[0].spread == 0.25 and GROUPS[1].spread == 0.0
    assert Group("x", (1.0, 0.0, 0.0, 0.0)).spread == pytest.approx(np.var([1, 0, 0, 0]))


RECORD = {
    "settings": {},
    "date": "2026-01-01",
    "transitions": {"real": 900},
    "curve": {
        "grpo_real": [
            {"transitions": 0, "success": 0.25},
            {"transitions": 900, "success": 0.5},
        ]
    },
}

# ---- diary and records ------------------------------------------------------------------------


def test_a_diary_keeps_each_group_in_its_place(log, capsys):
    episodes = [Episode(t) for t in log[:8]]
    record = record_of(1, episodes, 4)
    diary = Diary("GRPO", 4, 1000)
    diary.note(record, episodes)
    diary.note(replace(record, iteration=2, transitions=2 * record.transitions), episodes)
    first, second = diary.close()
    assert (first.iteration, second.iteration) == (1, 2)
    assert first.transitions == record.transitions and first.success == record.success
    assert [g.rewards for g in first.groups] == [
        tuple(t.reward for t in log[i : i + 4]) for i in (0, 4)
    ]
    assert np.mean([g.spread for g in first.groups]) == pytest.approx(first.spread)
    assert first.groups[1].task == log[4].task.instruction
    assert first.episode == log[0]
    assert "GRPO: " in capsys.readouterr().err


def test_a_recorded_run_becomes_moments_without_groups(log):
    record = record_of(1, [Episode(t) for t in log[:8]], 4)
    [found] = time_machine.moments_of([record.to_json()])
    assert found.spread == record.value_spread and found.mixed == record.mixed_groups
    assert found.groups == () and found.episode is None


def test_only_methods_that_are_recorded_are_found(tmp_path):
    assert time_machine.recorded("shop", ["grpo_real"], tmp_path) == {}
    for seed in (1, 0):
        Records(tmp_path).save(Run("shop", "grpo_real", seed), RECORD)
    Records(tmp_path).save(Run("web", "ppo_real", 0), {"settings": {}})
    found = time_machine.recorded("shop", ["grpo_real", "ppo_real"], tmp_path)
    assert list(found) == ["grpo_real"]
    assert [r["seed"] for r in found["grpo_real"]] == [0, 1]
    axes = Figure().subplots()
    first, second = time_machine.draw_recorded(axes, found)
    assert (first["seed"], second["seed"]) == (0, 1)
    assert (first["start"], first["end"], first["real steps"]) == (0.25, 0.5, 900)
    [line] = axes.get_lines()
    assert line.get_xdata().tolist() == [0, 900] and line.get_ydata().tolist() == [0.25, 0.5]
    assert "2 seeds" in line.get_label()


# ---- the references are the package's -----------------------------------------------------------


def test_the_reference_answers_are_what_the_package_computes():
    random = torch.Generator().manual_seed(0)
    rewards = (torch.rand(4, 8, generator=random) < 0.4).float()
    ours = torch.tensor(lesson05.group_advantages(rewards.tolist())).flatten()
    assert torch.allclose(ours, group_advantages(rewards.flatten(), 8), atol=1e-5)
    paid, values, last = (torch.rand(1, n, generator=random) for n in (6, 6, 1))
    theirs = gae(paid, values, last[0], torch.ones(1, 6, dtype=torch.bool), 0.9, 0.7)[0]
    rows = paid[0].tolist(), values[0].tolist(), last.item()
    assert lesson05_values.advantages_by_gae(*rows, 0.9, 0.7) == pytest.approx(
        theirs.tolist(), abs=1e-5
    )
    logprobs, mask = -torch.rand(1, 6, generator=random), torch.tensor([[0.0, 1, 1, 0, 0, 1]])
    logprobs.requires_grad_()
    advantage = torch.tensor([0.7])
    grpo_loss(logprobs, logprobs.detach(), mask, advantage).backward()
    for i, x in enumerate(logprobs.grad[0]):  # ours is that loss where the ratio is 1
        up = [v + 0.5 * (j == i) for j, v in enumerate(logprobs[0].tolist())]
        down = [v - 0.5 * (j == i) for j, v in enumerate(logprobs[0].tolist())]
        slope = [lesson05.episode_loss(v, mask[0].tolist(), 0.7) for v in (up, down)]
        assert slope[0] - slope[1] == pytest.approx(x.item(), abs=1e-5)


def test_the_agent_is_that_of_the_stock(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    made, paid = lesson05.agent_start(0, "smoke")
    found, again = lesson05.agent_start(0, "smoke")
    assert paid == again > 60, "at least a step in each of sixty episodes"
    assert stock.weights_hash(made) == stock.weights_hash(found)
    said = capsys.readouterr().out
    assert "agent start: made in" in said and "agent start: found" in said
