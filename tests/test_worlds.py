"""One contract, every world: what agents, dreams and plots may rely on."""

import dataclasses

import gymnasium
import numpy as np
import pytest

from dreamgym_nb import fidelity
from dreamgym_nb.backbone import texts_of
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import load_log, save_log, transitions_of
from dreamgym_nb.grpo import GRPOSettings
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.loop import Preparation, dream_rl, evaluate, prepare
from dreamgym_nb.prompts import Format
from dreamgym_nb.worlds import FAILURE, WORLDS, collect_log, make_world
from dreamgym_nb.worlds.base import SPLITS

ODD = ["", " ", "[]", "click", "click[", "go to", "stop", "type [1]", "\n", "Ω", "a" * 500, "None"]


@pytest.fixture(scope="module", params=sorted(WORLDS))
def world(request):
    return make_world(request.param, seed=11)


@pytest.fixture(scope="module")
def log(world):
    return collect_log(world, world.tasks("train"), 120, seed=2)


def test_it_is_a_gymnasium_environment_of_text(world):
    assert isinstance(world, gymnasium.Env)
    observation, info = world.reset(seed=0)
    assert world.observation_space.contains(observation)
    assert {"task", "state", "raw", "admissible_actions", "success", "failed"} <= set(info)
    step = world.step(info["admissible_actions"][0])
    assert [type(x) for x in step] == [str, float, bool, bool, dict]
    assert world.observation_space.contains(step[0])
    assert world.action_space.contains(info["admissible_actions"][0])


def test_tasks_have_ids_and_instructions_of_their_own(world):
    tasks = [t for split in SPLITS for t in world.tasks(split)]
    assert len({t.id for t in tasks}) == len(tasks) > 200
    assert {t.world for t in tasks} == {world.name}
    assert world.task_by_id(tasks[-1].id) == tasks[-1]
    with pytest.raises(UserError, match="no task"):
        world.task_by_id("none such")
    with pytest.raises(UserError, match="split"):
        world.tasks("validation")


def test_no_instruction_of_a_test_task_was_trained_on_in_the_same_surroundings(world):
    """Houses ask the same of other households; shops and sites never ask the same twice."""
    if world.name == "house":
        households = [{t.id.split("/")[0] for t in world.tasks(s)} for s in SPLITS]
        assert not households[0] & households[1]
    else:
        instructions = [{t.instruction for t in world.tasks(s)} for s in SPLITS]
        assert not instructions[0] & instructions[1]


def test_every_real_step_is_counted(world, log):
    fresh = make_world(world.name, seed=11)
    some = collect_log(fresh, fresh.tasks("train"), 5, seed=0)
    assert fresh.real_steps == len(transitions_of(some)) > 0


def test_the_seed_fixes_world_and_log(world, log):
    again = make_world(world.name, seed=11)
    assert again.tasks("test")[:9] == world.tasks("test")[:9]
    assert collect_log(again, again.tasks("train"), 10, seed=4) == collect_log(
        world, world.tasks("train"), 10, seed=4
    )
    other = make_world(world.name, seed=12)
    assert other.tasks("train")[:9] != world.tasks("train")[:9]


def test_the_fold_alone_makes_the_states(world, log):
    """States are a pure function of what was said: a dream can keep them as the world does."""
    for trajectory in log:
        state = world.fold("", "", trajectory.observation)
        assert state == trajectory.state
        for t in trajectory.transitions:
            state = world.fold(state, t.action, t.observation)
            assert state == t.next_state


def test_rewards_are_outcome_only(log):
    steps = transitions_of(log)
    assert {t.reward for t in steps} == {0.0, 1.0}
    assert all(t.terminated for t in steps if t.reward)
    for trajectory in log:
        assert not any(t.terminated for t in trajectory.transitions[:-1])
        assert not (trajectory.truncated and trajectory.transitions[-1].terminated)


def test_a_log_is_of_mixed_quality_and_survives_the_disk(log, tmp_path):
    share = np.mean([t.success for t in log])
    failed = np.mean([t.failed for t in transitions_of(log)])
    assert 0.1 < share < 0.85 and 0.05 < failed < 0.5
    assert load_log(save_log(tmp_path / "log.jsonl", log)) == log


def test_the_expert_succeeds(world):
    log = collect_log(world, world.tasks("test"), 40, seed=3, mix={"expert": 1})
    assert np.mean([t.success for t in log]) > 0.9


@pytest.mark.parametrize("action", ODD)
def test_odd_actions_fail_with_a_reason_and_never_raise(world, action):
    world.reset(seed=3)
    before = world.state
    observation, reward, terminated, _, info = world.step(action)
    if not terminated:
        assert observation.startswith(FAILURE) and len(observation) > len(FAILURE) + 3
        assert info["failed"] and world.state == before
    assert reward == 0.0
    assert isinstance(world.teacher(world.task, before, action), str)


def test_the_dream_is_told_what_cannot_be_foretold(world, log):
    hidden = [world.hidden(t.state, t.action) for t in transitions_of(log)]
    assert any(hidden) == (world.name == "house")


def test_the_whole_loop_runs_by_changing_one_name(world, log):
    """A hardly trained model dreams badly, but step A, B and the test run in every world."""
    backbone = LanguageModel.tiny(texts_of(log[:40], Format()), width=32, layers=1, heads=2)
    fresh = make_world(world.name, seed=11)
    sizes = Preparation(log_episodes=40, model_steps=3, agent_steps=3)
    ready = prepare(fresh, sizes, backbone)
    paid = fresh.real_steps
    settings = GRPOSettings(iterations=1, groups=2, group_size=2, microbatch=4)
    history = dream_rl(ready, ready.agent, settings)
    assert fresh.real_steps == paid and len(history.iterations) == 1
    truth = fidelity.measure(ready.model, fresh.fold, transitions_of(log[:3]), fresh.hidden)
    assert truth.n_valid + truth.n_invalid + truth.n_hidden == len(transitions_of(log[:3]))
    result = evaluate(ready.agent, ready.realities(), fresh.tasks("test")[:2])
    assert dataclasses.asdict(result)["episodes"] == 2


def test_a_log_of_nothing_gets_a_sentence():
    world = make_world("shop")
    tasks = world.tasks("train")
    for some, episodes, mix, said in (
        ([], 3, None, "these are 0 and 3"),
        (tasks, -1, None, "and -1"),
        (tasks, 3, {"expert": 0.0}, "nor all of them 0"),
        (tasks, 3, {"expert": 2.0, "random": -1.0}, "not negative"),
    ):
        with pytest.raises(UserError, match=said):
            collect_log(world, some, episodes, 0, mix)
    assert collect_log(world, tasks, 0, 0) == []


def test_a_world_of_another_name_is_a_sentence():
    with pytest.raises(UserError, match="at least 0, not -1"):
        make_world("shop", seed=-1)
    with pytest.raises(UserError, match="There is no world 'moon'"):
        make_world("moon")
