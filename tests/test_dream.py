"""A dream by a model that is right is the real world, step by step; and its own rules hold."""

import copy

import gymnasium
import numpy as np
import pytest

from dreamgym_nb.dream import DreamWorld, begun_in, start_as, start_from
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience_model import UNREADABLE, ExperienceModel, Imagined
from dreamgym_nb.prompts import Outcome
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.base import FAILURE, MAX_ACTION_CHARS
from dreamgym_nb.worlds.vector import RealWorlds

GO_ON = Outcome("why", "page 1 of 1\nno results\nback to search", 0.0, False)


class Scripted:
    """An experience model that gives the answers written for it, and keeps the questions."""

    def __init__(self, *outcomes):
        self.outcomes, self.questions, self.how = list(outcomes), [], []

    def imagine(self, questions, temperature=0.0, max_new_tokens=160, generator=None):
        self.questions += questions
        self.how.append((temperature, generator))
        return [Imagined(self.outcomes.pop(0), (), True) for _ in questions]


def dream_of(model, shop, n, **options):
    return DreamWorld(model, shop.fold, lambda task: "search page", n, **options)


def begin(world, shop):
    """Reset a vector world to the shop's first training tasks."""
    world.reset(options={"tasks": shop.tasks("train")[: world.num_envs]})
    return world


# ---- dream and reality ----------------------------------------------------------------------


def test_a_dream_by_an_oracle_is_the_real_world_step_by_step(oracle, shop, log):
    real = RealWorlds(shop, len(log))
    dream = DreamWorld(oracle, shop.fold, start_from(log), len(log), max_steps=shop.max_steps)
    tasks = {"tasks": [t.task for t in log]}
    assert real.reset(options=tasks) == dream.reset(options=tasks)
    paths = [t.transitions for t in log]
    limit = max(len(path) for path in paths)
    for step in range(limit):
        actions = [path[step].action if step < len(path) else None for path in paths]
        happened, dreamt = real.step(actions), dream.step(copy.copy(actions))
        assert dreamt[0] == happened[0]
        for a, b in zip(dreamt[1:4], happened[1:4], strict=True):
            assert a.shape == (len(log),) and a.dtype == b.dtype
            assert np.array_equal(a, b)
        for name in ("state", "failed", "success"):
            assert dreamt[4][name] == happened[4][name]
        for i, path in enumerate(paths):
            t = path[min(step, len(path) - 1)]
            assert (dreamt[0][i], dreamt[4]["state"][i]) == (t.observation, t.next_state)
            assert (dreamt[2][i], dreamt[4]["failed"][i]) == (t.terminated, t.failed)
            assert dreamt[1][i] == (t.reward if step < len(path) else 0.0), "paid once"
            assert dreamt[3][i] == (log[i].truncated and step >= len(path) - 1)
            assert dreamt[4]["reasoning"][i] == t.reasoning
    steps = sum(len(path) for path in paths)
    assert limit == shop.max_steps
    assert (real.transitions, dream.transitions, shop.real_steps) == (steps, steps, steps)
    assert (real.source, dream.source) == ("real", "dream")


def test_a_dream_takes_no_real_step_and_an_agent_cannot_tell_it_apart(oracle, shop):
    dream = begin(dream_of(oracle, shop, 2), shop)
    dream.step(["search[mug]", "click[buy now]"])
    assert (shop.real_steps, dream.transitions) == (0, 2)
    real = RealWorlds(shop, 2)
    for world in (dream, real):
        assert isinstance(world, gymnasium.vector.VectorEnv)
        assert world.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.DISABLED
    assert dream.observation_space == real.observation_space
    assert dream.action_space == real.action_space


def test_rows_of_a_real_vector_world_do_not_touch_each_other(shop):
    real = begin(RealWorlds(shop, 3), shop)
    states = real.step(["search[mug]", "search[rug]", ""])[4]["state"]
    assert [s.split("\n")[0] for s in states] == [
        "results for mug",
        "results for rug",
        "search page",
    ]
    assert shop.task is None and shop.real_steps == 3


def test_what_a_model_is_asked_is_what_happened_in_its_row(shop):
    buys = Outcome("", "you bought b1", 1.0, True)
    model = Scripted(GO_ON, GO_ON, GO_ON, buys, GO_ON)
    dream = begin(dream_of(model, shop, 2, temperature=0.5, generator="mine"), shop)
    dream.step(["search[a]", "search[b]"])
    dream.step(["click[x]", "click[buy now]"])
    dream.step(["search[c]", None])
    last = model.questions[-1]
    tasks = shop.tasks("train")
    assert [q.instruction for q in model.questions] == [
        tasks[i].instruction for i in (0, 1, 0, 1, 0)
    ]
    assert last.history == (("search page", "search[a]"), (GO_ON.observation, "click[x]"))
    assert (last.state, last.action) == (f"results for a\n{GO_ON.observation}", "search[c]")
    assert model.how == [(0.5, "mine")] * 3
    begin(dream, shop)
    model.outcomes = [GO_ON, GO_ON]
    dream.step(["search[a]", "search[b]"])
    assert model.questions[-1].history == (), "a new episode has no past"


# ---- how a dream ends, and what it pays --------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reward", "terminated", "truncated", "success"),
    [
        (Outcome("", "you bought b1", 1.0, True), 1.0, True, False, True),
        (Outcome("", "you bought b1", 0.0, True), 0.0, True, False, False),
        (Outcome("", "you bought b1", 1.0, False), 0.0, False, True, False),
        (GO_ON, 0.0, False, True, False),
    ],
)
def test_only_the_end_pays_and_truncation_is_not_termination(
    shop, said, reward, terminated, truncated, success
):
    """At the step limit, where both could be."""
    dream = begin(dream_of(Scripted(GO_ON, said), shop, 1, max_steps=2), shop)
    first = dream.step(["search[mug]"])
    assert [a[0] for a in first[1:4]] == [0.0, False, False]
    _, rewards, ended, cut, info = dream.step(["click[x]"])
    assert (rewards[0], ended[0], cut[0]) == (reward, terminated, truncated)
    assert info["success"] == [success]
    with pytest.raises(UserError, match=r"None for each row that is over.* rows \[0\]"):
        dream.step(["click[x]"])


def test_a_reward_in_mid_episode_is_not_paid(shop):
    promise = Outcome("", "item b1", 1.0, False)
    dream = begin(dream_of(Scripted(promise, GO_ON), shop, 1), shop)
    _, rewards, terminated, truncated, info = dream.step(["click[x]"])
    assert (rewards[0], terminated[0], truncated[0]) == (0.0, False, False)
    assert info["success"] == [False]


def test_a_row_that_is_over_stays_over_and_is_not_asked_again(shop):
    buys = Outcome("because", "you bought b1", 1.0, True)
    model = Scripted(buys, GO_ON, GO_ON)
    dream = begin(dream_of(model, shop, 2), shop)
    dream.step(["click[buy now]", "search[a]"])
    observations, rewards, terminated, truncated, info = dream.step([None, "search[b]"])
    assert observations == ("you bought b1", GO_ON.observation)
    assert rewards.tolist() == [0.0, 0.0], "a reward is paid once"
    assert (terminated.tolist(), truncated.tolist()) == ([True, False], [False, False])
    assert len(model.questions) == 3 and dream.transitions == 3


def test_an_unreadable_answer_changes_nothing_but_the_clock(shop):
    dream = begin(dream_of(Scripted(GO_ON, *[UNREADABLE] * 3), shop, 1, max_steps=4), shop)
    before = dream.step(["search[mug]"])[4]["state"]
    for step in (2, 3, 4):
        _, rewards, terminated, truncated, info = dream.step(["click[x]"])
        assert (info["state"], info["failed"]) == (before, [True])
        assert (rewards[0], terminated[0], truncated[0]) == (0.0, False, step == 4)


def test_failures_are_known_by_their_first_words(shop):
    no = Outcome("", f"{FAILURE} that is not on this page", 0.0, False)
    dream = begin(dream_of(Scripted(no, GO_ON), shop, 2), shop)
    assert dream.step(["click[x]", "search[a]"])[4]["failed"] == [True, False]


def test_any_action_can_be_dreamt_of(shop):
    """A huge one is asked about by its start, so that it cannot fill the memory."""
    actions = ["", "日本語 🙂", "x" * 1_000_000, "click[b1"]
    model = Scripted(*[UNREADABLE] * 8)
    dream = begin(dream_of(model, shop, 4), shop)
    dream.step(actions)
    dream.step(actions)
    asked = [q.action for q in model.questions[4:]]
    assert asked == ["", "日本語 🙂", "x" * MAX_ACTION_CHARS, "click[b1"]
    assert [q.history[0][1] for q in model.questions[4:]] == asked


def test_a_real_experience_model_dreams(lm, transitions, log, shop):
    """Untrained, it writes nonsense: nothing ever changes, until the limit."""
    model = ExperienceModel(lm, ReplayBuffer(transitions))
    dream = DreamWorld(model, shop.fold, start_from(log), 3, max_steps=2)
    begin(dream, shop)
    assert dream.step(["search[mug]"] * 3)[4]["state"] == ["search page"] * 3
    assert dream.step(["click[b1]"] * 3)[3].tolist() == [True] * 3
    assert (model.asked, model.unreadable) == (6, 6)


# ---- where a dream begins ---------------------------------------------------------------------


def test_a_dream_begins_as_the_log_did(log):
    import dataclasses

    odd = dataclasses.replace(log[0], observation="another first page")
    start = start_from([odd, *(t for t in log[1:] if t.task != odd.task)])
    assert start(odd.task) == "another first page"
    assert start(log[1].task) == "search page"
    new = dataclasses.replace(odd.task, id="train/never-seen")
    assert start_from(log)(new) == "search page", "as all of them begin"
    with pytest.raises(UserError, match=r"train/never-seen.* stands nowhere in the log"):
        start(new)
    with pytest.raises(UserError, match="this log is empty"):
        start_from([])


def test_where_episodes_begin_apart_only_tasks_of_the_log_are_dreamt(log):
    import dataclasses

    tasks = [t.task for t in log[:3]]
    new = dataclasses.replace(tasks[0], id="train/never-seen")
    assert begun_in(log, [*tasks, new]) == [*tasks, new], "a shop has one front page"
    odd = [dataclasses.replace(log[0], observation="a bedroom"), *log[1:]]
    assert begun_in(odd, [*tasks, new]) == tasks, "nothing tells where the new one begins"
    with pytest.raises(UserError, match="begun none of these"):
        begun_in(odd, [new])


# ---- wrong numbers ------------------------------------------------------------------------------


@pytest.fixture(params=["real", "dream"])
def world(request, shop):
    """Two rows, real or dreamed."""
    if request.param == "real":
        return RealWorlds(shop, 2)
    return dream_of(Scripted(*[GO_ON] * 9), shop, 2)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_another_number_of_tasks_gets_a_sentence(world, shop, n):
    with pytest.raises(UserError, match=f"with 2 tasks, one for each row; it got {n}"):
        world.reset(options={"tasks": shop.tasks("train")[:n]})


def test_no_tasks_at_all_get_a_sentence(world):
    with pytest.raises(UserError, match="it got 0"):
        world.reset()


@pytest.mark.parametrize("n", [0, 1, 3])
def test_another_number_of_actions_gets_a_sentence(world, shop, n):
    begin(world, shop)
    with pytest.raises(UserError, match=f"needs 2 actions, one a row, not {n}"):
        world.step(["search[mug]"] * n)
    assert world.transitions == 0


def test_a_missing_action_gets_a_sentence(world, shop):
    begin(world, shop)
    with pytest.raises(UserError, match=r"an action for each live row .* rows \[1\]"):
        world.step(["search[mug]", None])
    assert world.transitions == 0


@pytest.mark.parametrize("action", [None, "search[mug]"])
def test_a_step_before_the_first_episode_gets_a_sentence(world, action):
    with pytest.raises(UserError, match="call reset first"):
        world.step([action, action])


def test_a_dream_of_a_task_that_no_log_holds_can_begin_as_the_task_does():
    house = make_world("house", seed=1, split_sizes={"train": 8, "test": 8})
    steps = house.real_steps
    start = start_as(house)
    begun = {start(task) for task in house.tasks("test")}
    assert len(begun) > 1 and all(o.startswith("room: ") for o in begun)
    assert house.real_steps == steps and house.task is None, "the world itself is left alone"
