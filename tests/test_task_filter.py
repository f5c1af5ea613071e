"""Each reason to throw out a written task, provoked; and that test tasks never pass."""

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.task_filter import (
    KNOWN,
    MALFORMED,
    REASONS,
    TEST,
    UNREADABLE,
    UNRELATED,
    TaskFilter,
)
from dreamgym_nb.task_writer import written_task

COLORS, SIZES, THINGS = ("red", "blue", "green"), ("big", "small"), ("mug", "rug", "hat")
EVERY = [f"find a {s} {c} {t}" for t in THINGS for c in COLORS for s in SIZES]
TRAIN = [Task("toy", f"train/{i}", x) for i, x in enumerate(EVERY) if i % 3]
TEST_TASKS = [Task("toy", f"test/{i}", x) for i, x in enumerate(EVERY) if i % 6 == 0]
FREE = [x for i, x in enumerate(EVERY) if i % 6 == 3]
"""Worded as the others, and in neither split."""


def start(task):
    """The last training task begins elsewhere."""
    return "there" if task.id == TRAIN[-1].id else "here"


@pytest.fixture
def filter():
    return TaskFilter(TRAIN, TEST_TASKS, start, alike=0.5)


def written(instruction, *seeds):
    return written_task(1, instruction, seeds or TRAIN[:1])


def near(instruction):
    """A training task that shares two of three words with an instruction."""
    words = set(instruction.split())
    return max(TRAIN[:-1], key=lambda t: len(words & set(t.instruction.split())))


def test_a_new_well_formed_variation_passes(filter):
    for instruction in FREE:
        assert filter.reason(written(instruction), [near(instruction)]) is None


def test_unreadable(filter):
    assert filter.reason(None, TRAIN[:1]) == UNREADABLE


@pytest.mark.parametrize(
    "wrong", ["find a big mug", "find a red big mug", "find a big pink mug", ""]
)
def test_not_well_formed(filter, wrong):
    assert filter.reason(written(wrong), TRAIN[:1]) == MALFORMED


def test_no_test_task_passes_whatever_its_seeds_and_however_it_is_written(filter):
    for task in TEST_TASKS:
        for instruction in (task.instruction, task.instruction.upper(), f" {task.instruction} "):
            assert filter.reason(written(instruction), [near(task.instruction)]) == TEST
            assert filter.reason(written(instruction, TRAIN[-1]), [TRAIN[-1]]) == TEST
    shuffled = " ".join(sorted(TEST_TASKS[0].instruction.split()))
    assert filter.is_test(written(shuffled)), "in another order it is the same task"


def test_a_world_may_ban_more():
    banned = TaskFilter(TRAIN, TEST_TASKS, start, lambda t: "mug" in t.instruction, alike=0.0)
    reasons = {x: banned.reason(written(x), TRAIN[:1]) for x in FREE}
    assert set(reasons.values()) == {TEST, None}
    assert all((why == TEST) == ("mug" in x) for x, why in reasons.items())


def test_not_new(filter):
    known = TRAIN[3]
    assert filter.reason(written(known.instruction), [TRAIN[0]]) == KNOWN
    assert filter.reason(written(known.instruction.upper()), [TRAIN[0]]) == KNOWN
    fresh = written(FREE[0])
    assert filter.reason(fresh, [near(FREE[0])]) is None
    filter.add(fresh)
    assert filter.reason(fresh, [near(FREE[0])]) == KNOWN


def test_the_same_words_elsewhere_are_another_task(filter):
    elsewhere = written(TRAIN[3].instruction, TRAIN[-1])
    assert filter.reason(elsewhere, [near(TRAIN[3].instruction)]) != KNOWN
    assert filter.reason(written(TRAIN[-1].instruction, TRAIN[-1]), [TRAIN[-1]]) == KNOWN


def test_no_variation_of_its_seeds(filter):
    instruction = FREE[0]
    words = set(instruction.split()) - {"find", "a"}
    strangers = [t for t in TRAIN if not words & set(t.instruction.split())]
    assert strangers
    assert filter.reason(written(instruction), strangers[:1]) == UNRELATED
    both = [strangers[0], near(instruction)]
    assert filter.reason(written(instruction), both) is None, "one of the seeds is enough"


def test_how_near_is_near_enough_comes_from_the_training_tasks():
    def level(alike):
        return TaskFilter(TRAIN, [], start, alike=alike).near_enough

    assert level(0.0) < level(0.5) < level(1.0) < 1.0
    assert TaskFilter(TRAIN[:1], [], start).near_enough == 0.0, "nothing to compare with"


def test_the_reasons_are_told_in_this_order(filter):
    assert len(set(REASONS)) == len(REASONS) == 5
    known_test = TaskFilter(
        [*TRAIN, Task("toy", "train/x", FREE[0])], [Task("toy", "t", FREE[0])], start
    )
    assert known_test.reason(written(FREE[0]), TRAIN[:1]) == TEST, "a test task before a known one"


def test_splits_must_be_apart():
    with pytest.raises(UserError, match="'train/1' is a training and a test task"):
        TaskFilter(TRAIN, TRAIN[:1], start)
    with pytest.raises(UserError, match="give some"):
        TaskFilter([], TEST_TASKS, start)
