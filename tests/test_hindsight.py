"""Steps under other tasks: the teacher's verdict is the world's, and near misses are found."""

import pytest

from dreamgym_nb.experience import transitions_of
from dreamgym_nb.hindsight import relabel
from dreamgym_nb.worlds import WORLDS, collect_log, make_world


@pytest.fixture(scope="module", params=list(WORLDS))
def judged(request):
    """A world and the steps of some of its episodes."""
    world = make_world(request.param, seed=5)
    return world, transitions_of(collect_log(world, world.tasks("train"), 120, seed=1))


def test_a_traces_verdict_is_the_reward(judged):
    """On every step of a log; and what weighs nothing is never paid."""
    world, transitions = judged
    verdicts = [world.verdict(t.task, t.state, t.action) for t in transitions]
    assert verdicts.count(True) > 20 and verdicts.count(False) > 20
    assert [bool(v) for v in verdicts] == [bool(t.reward) for t in transitions]


def test_what_happened_stays_and_what_it_was_worth_changes(judged):
    world, transitions = judged
    paid = world.real_steps
    under = relabel(world, transitions, 1.0, seed=2)
    assert world.real_steps == paid, "no real step is taken"
    found = {(t.trajectory, len(t.history)): t for t in transitions}
    for t in under:
        own = found[t.trajectory, len(t.history)]
        assert (t.state, t.action, t.observation) == (own.state, own.action, own.observation)
        assert t.task.instruction != own.task.instruction
        assert t.reasoning == world.teacher(t.task, t.state, t.action)
        assert t.reward == float(bool(world.verdict(t.task, t.state, t.action)))
        assert t.terminated == (bool(t.reward) or world.failing_ends)
    if world.name == "house":  # elsewhere few steps are a success under any other task
        assert any(t.reward and not found[t.trajectory, len(t.history)].reward for t in under)
    assert any(found[t.trajectory, len(t.history)].reward and not t.reward for t in under)


def test_the_verdict_under_another_task_is_what_the_world_would_say():
    """On the web, where all tasks begin alike: the same actions, played under the other task."""
    world = make_world("web", seed=5)
    transitions = transitions_of(collect_log(world, world.tasks("train"), 200, seed=1))
    checked = 0
    for t in relabel(world, transitions, 1.0, seed=3):
        world.reset(options={"task": t.task})
        for _, action in t.history:
            world.step(action)
        _, reward, terminated, *_ = world.step(t.action)
        assert (reward, terminated) == (t.reward, t.terminated)
        checked += 1
    assert checked > 100


def test_the_share_says_how_many(judged):
    world, transitions = judged
    steps = sum(world.verdict(t.task, t.state, t.action) is not None for t in transitions)
    assert relabel(world, transitions, 0.0) == []
    half, twice = (len(relabel(world, transitions, share)) for share in (0.5, 2.0))
    assert 0.25 * steps < half < 0.75 * steps and 1.5 * steps < twice <= 2 * steps
    assert relabel(world, transitions, 1.0, 4) == relabel(world, transitions, 1.0, 4)
    assert relabel(world, transitions, 1.0, 4) != relabel(world, transitions, 1.0, 5)


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("it works", None),
        ("mug here no\nwanted mug got mug 1 yes", True),
        ("wanted mug got cup 1 no\nwanted in desk got desk 1 yes", False),
    ],
)
def test_a_verdict_is_read_from_where_the_weighing_begins(shop, monkeypatch, trace, expected):
    monkeypatch.setattr(shop, "teacher", lambda task, state, action: trace)
    assert shop.verdict(shop.tasks("train")[0], "", "") is expected
