"""RL by either algorithm, in the dream with a curriculum, and in the real world on a budget."""

import numpy as np
import pytest
import torch
from toy import TASKS, Toy

from dreamgym_nb.grpo import GRPOSettings, IterationRecord, RLHistory, is_spent
from dreamgym_nb.loop import Preparation, dream_rl, prepare, real_rl, train_rl
from dreamgym_nb.ppo import PPOSettings
from dreamgym_nb.task_writer import is_written, written_task
from dreamgym_nb.value import ValueHead
from dreamgym_nb.worlds import make_world

SMALL = {"iterations": 2, "groups": 2, "group_size": 4, "microbatch": 8, "seed": 1}
BOTH = {"GRPO": GRPOSettings(**SMALL), "PPO": PPOSettings(**SMALL)}
both = pytest.mark.parametrize("settings", BOTH.values(), ids=BOTH)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """TRL's output folder lies in the home folder; not in the reader's."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def world():
    return make_world("shop", seed=3, max_steps=5)


@pytest.fixture
def prepared(world, actor):
    return prepare(world, Preparation(log_episodes=60, model_steps=2, agent_steps=2), actor)


def weights(lm):
    return torch.cat([p.detach().flatten().clone() for p in lm.model.parameters()])


# ---- the budget -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "budget", "spent"),
    [
        ([100], None, False),
        ([100], 199, True),
        ([100], 200, False),
        ([100, 150], 249, True),  # the next may be as long as the longest so far
        ([100, 150], 250, False),
    ],
)
def test_a_budget_is_spent_when_another_iteration_might_go_beyond_it(ends, budget, spent):
    records = [IterationRecord(i, 0, 0, 0, 0, 0, transitions=n) for i, n in enumerate(ends, 1)]
    assert is_spent(budget, RLHistory(records)) == spent


@both
@pytest.mark.parametrize(("budget", "iterations"), [(31, 1), (32, 2), (None, 2)])
def test_training_stops_within_its_budget(agent, settings, budget, iterations):
    """The toy's episodes have two turns: an iteration of eight takes 16 transitions."""
    history = train_rl(agent, Toy, lambda n, rng: TASKS[:n], settings, budget=budget)
    assert history.column("transitions") == [16, 32][:iterations]
    assert not history.interrupted


# ---- the real world ---------------------------------------------------------------------------


@both
def test_in_the_real_world_each_step_is_paid_for(world, actor, settings):
    agent, seen = actor.copy(), []
    history = real_rl(
        world, agent, settings, on_iteration=lambda record, episodes: seen.append(episodes)
    )
    steps = [len(e.trajectory.transitions) for episodes in seen for e in episodes]
    assert world.real_steps == history.iterations[-1].transitions == sum(steps) > 0
    train = {t.id for t in world.tasks("train")}
    assert {e.trajectory.task.id for episodes in seen for e in episodes} <= train
    assert {t.source for es in seen for e in es for t in e.trajectory.transitions} == {"real"}


def test_a_value_head_goes_on_with_what_it_learned(agent):
    settings, head = BOTH["PPO"], ValueHead.on(agent)
    train_rl(agent, Toy, lambda n, rng: TASKS[:n], settings, value_head=head)
    learned = head.weight.detach().clone()
    assert learned.abs().max() > 0
    train_rl(agent, Toy, lambda n, rng: TASKS[:n], settings, value_head=head)
    assert not torch.equal(head.weight, learned)


# ---- the dream --------------------------------------------------------------------------------


@both
def test_either_algorithm_learns_in_the_dream_and_takes_no_real_step(prepared, settings):
    paid, agent = prepared.world.real_steps, prepared.agent.copy()
    history = dream_rl(prepared, agent, settings)
    assert prepared.world.real_steps == paid
    assert prepared.model.asked == history.iterations[-1].transitions
    assert len(history.iterations) == 2
    assert ("approx_kl" in history.iterations[0].extra) == isinstance(settings, PPOSettings)


class Watcher:
    """A curriculum that mixes in one written task and notes what it is shown."""

    def __init__(self, tasks):
        self.tasks, self.shown = tasks, []
        self.written = written_task(1, "find a red mug for at most $50", tasks[:1])

    def __call__(self, n: int, rng: np.random.Generator):
        return [self.written, *self.tasks[1:n]]

    def observe(self, episodes, group_size):
        self.shown.append((episodes, group_size))


@both
def test_a_curriculum_picks_the_tasks_and_sees_each_iteration(prepared, settings):
    """A written task begins as its seed begins, for no log holds it."""
    watcher, seen = Watcher([t.task for t in prepared.log]), []
    dream_rl(
        prepared,
        prepared.agent.copy(),
        settings,
        curriculum=watcher,
        on_iteration=lambda record, episodes: seen.append(episodes),
    )
    assert watcher.shown == [(episodes, 4) for episodes in seen]
    written = [e for e in seen[0] if is_written(e.trajectory.task)]
    assert len(written) == 4
    assert written[0].trajectory.task.goal["begins_as"] == prepared.log[0].task.id
    begin = prepared.log[0].observation
    assert {e.trajectory.observation for e in written} == {begin}


# ---- M_task beside M_exp ----------------------------------------------------------------------


def test_the_network_learns_to_write_tasks_only_when_asked(world, actor):
    def trained(**changes):
        sizes = Preparation(log_episodes=60, model_steps=2, agent_steps=0, **changes)
        return weights(prepare(make_world("shop", seed=3, max_steps=5), sizes, actor).model.lm)

    assert torch.equal(trained(), trained(task_samples=0))
    assert not torch.equal(trained(), trained(task_samples=50))
