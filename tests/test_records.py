"""Logs that lie there already become what `collect_log` would have written."""

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import WORLDS, collect_log, make_world
from dreamgym_nb.worlds.records import Said, trajectory_of


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_a_log_told_as_records_is_the_log(name):
    world = make_world(name, seed=2)
    log = collect_log(world, world.tasks("train"), 40, seed=0)
    paid = world.real_steps
    for t in log:
        said = [Said(s.action, s.observation, s.reward, s.terminated) for s in t.transitions]
        again = trajectory_of(world, t.task, t.observation, said, id=t.id, behaviour=t.behaviour)
        assert again == t
    assert world.real_steps == paid


@pytest.mark.parametrize(
    "steps, said",
    [
        ([], "has no step"),
        ([("close", "ticket closed", 1.0, False)], "is paid 1, terminated=False"),
        ([("close", "ticket closed", 0.5, True)], "is paid 0.5"),
        (
            [("close", "ticket closed", 0.0, True), ("show", "x")],
            "goes on after its end, at step 2",
        ),
    ],
)
def test_a_record_that_cannot_be_gets_a_sentence(steps, said):
    world = make_world("shop")
    with pytest.raises(UserError, match=said):
        trajectory_of(world, world.tasks("train")[0], "search page", steps, id="r1")
