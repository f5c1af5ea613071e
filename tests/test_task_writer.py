"""M_task: its format, its samples, and that the network which learned them writes variations."""

import dataclasses

import numpy as np
import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import EOS, parse_variation, variation_prompt, variation_target
from dreamgym_nb.task_writer import (
    TaskWriter,
    begin_as_seed,
    is_written,
    relatives,
    task_samples,
    written_task,
)
from dreamgym_nb.training import fit

COLORS, THINGS = ("red", "blue", "green"), ("mug", "rug")
HERE = {"a": "room: shelf", "b": "room: bed"}
TASKS = [
    Task("toy", f"train/{place}{i}", f"find a {color} {thing}")
    for place, things in (("a", THINGS), ("b", ("pen", "cup")))
    for i, (color, thing) in enumerate((c, t) for t in things for c in COLORS)
]


def start(task):
    """Where a toy task begins; only the world's own tasks are known."""
    return HERE[task.id.removeprefix("train/")[0]]


@pytest.fixture(scope="module")
def taught():
    """A tiny model that has learned to write variations of the toy tasks."""
    texts = [variation_prompt([t.instruction], start(t)) + f" {t.instruction}" for t in TASKS]
    lm = LanguageModel.tiny(texts, seed=0, width=32, layers=2, heads=4)
    samples = task_samples(lm, TASKS, start, 200, m=2, seed=0)
    fit(lm, samples, steps=150, learning_rate=2e-2, tokens_per_batch=512)
    return lm


# ---- the format -----------------------------------------------------------------------------


def test_the_prompt_is_equation_6():
    text = variation_prompt(["find a mug", "find a rug"], "search page")
    assert text == "\nObservation: search page\nTask: find a mug\nTask: find a rug\nTask:"
    assert variation_target("find a hat") == " find a hat<eos>"


def test_a_written_task_is_read_back():
    for instruction in ("find a hat", "日本 🙂", "a  b", "$5 and [7]"):
        assert parse_variation(variation_target(instruction)) == instruction


@pytest.mark.parametrize(
    "text", ["", EOS, " ", " \n" + EOS, " find", " a\nb<eos>", " a<eos> b<eos>"]
)
def test_what_was_cut_is_empty_or_has_lines_is_no_task(text):
    assert parse_variation(text) is None


# ---- written tasks ----------------------------------------------------------------------------


def test_a_written_task_begins_where_its_last_seed_began():
    first, last = TASKS[0], TASKS[-1]
    child = written_task(7, "find a hat", [first, last])
    assert (child.world, child.id, child.instruction) == ("toy", "gen/00007", "find a hat")
    assert child.goal == {"begins_as": last.id, "seeds": [first.id, last.id]}
    grandchild = written_task(8, "find a hat", [first, child])
    assert grandchild.goal["begins_as"] == last.id, "a written task begins nowhere by itself"
    assert is_written(child) and is_written(grandchild) and not is_written(last)
    begin = begin_as_seed(start)
    assert begin(grandchild) == begin(child) == start(last) == begin(last) != begin(first)
    assert begin_as_seed(begin)(grandchild) == start(last)


# ---- what it learns from --------------------------------------------------------------------


def test_relatives_begin_alike_and_the_likest_come_first():
    kin = relatives(TASKS, start, near=3)
    for i, found in enumerate(kin):
        assert len(found) == 3 and i not in found
        assert {start(TASKS[j]) for j in found} == {start(TASKS[i])}
        common = [
            len(set(TASKS[i].instruction.split()) & set(TASKS[j].instruction.split()))
            for j in found
        ]
        assert common == sorted(common, reverse=True) and common[0] == 3


def test_the_same_words_are_no_relative():
    twins = [*TASKS, *(dataclasses.replace(t, id=t.id + "x") for t in TASKS)]
    for i, found in enumerate(relatives(twins, start, near=20)):
        assert len(found) == 10, "five others that begin alike, each twice"
        assert all(twins[j].instruction != twins[i].instruction for j in found)


def read(lm, sample):
    """The prompt and the counted target of a sample, as text."""
    cut = sample.counted.index(True)
    assert all(sample.counted[cut:]) and not any(sample.counted[:cut])
    return lm.decode(sample.tokens[:cut]), lm.decode(sample.tokens[cut:])


def test_samples_are_tasks_among_their_relatives(taught):
    texts = {t.instruction: t for t in TASKS}
    seeds_seen = set()
    for sample in task_samples(taught, TASKS, start, 60, m=3, seed=1):
        prompt, target = read(taught, sample)
        task = texts[parse_variation(target)]
        lines = prompt.strip("\n").split("\n")
        assert lines[0] == f"Observation: {start(task)}" and lines[-1] == "Task:"
        seeds = [texts[line.removeprefix("Task: ")] for line in lines[1:-1]]
        assert task not in seeds and len(set(seeds)) == len(seeds)
        assert {start(s) for s in seeds} == {start(task)}
        words = set(task.instruction.split())
        likeness = [len(words & set(s.instruction.split())) for s in seeds]
        assert likeness == sorted(likeness), "the likest stands last"
        seeds_seen.add(len(seeds))
    assert seeds_seen == {1, 2, 3}


def test_the_seed_fixes_the_samples(taught):
    def made(seed):
        return task_samples(taught, TASKS, start, 20, m=2, seed=seed)

    assert made(3) == made(3) != made(4)


def test_there_must_be_something_to_vary(taught):
    alone = [TASKS[0], dataclasses.replace(TASKS[0], id="train/b9")]
    for tasks in ([], alone, [TASKS[0], TASKS[-1]]):
        with pytest.raises(UserError, match="give more training tasks"):
            task_samples(taught, tasks, start, 5)
    with pytest.raises(UserError, match="m is 0"):
        task_samples(taught, TASKS, start, 5, m=0)


# ---- writing ----------------------------------------------------------------------------------


def test_a_taught_model_writes_tasks_of_its_world(taught):
    writer = TaskWriter(taught, start, temperature=1.0, seed=0)
    written = writer([[TASKS[0], TASKS[1]]] * 60)
    words = [w.split() for w in written if w]
    good = [w[:2] == ["find", "a"] and w[2] in COLORS and len(w) == 4 for w in words]
    assert sum(good) / len(written) > 0.8
    assert len({tuple(w) for w in words}) > 2, "not one variation again and again"
    assert sum(w[-1] in THINGS for w in words) / len(words) > 0.8, "of what is there"


def test_seed_and_temperature_say_what_is_written(taught):
    def written(**options):
        return TaskWriter(taught, start, **options)([[t] for t in TASKS] * 2)

    assert written(seed=1) == written(seed=1) != written(seed=2)
    greedy = written(temperature=0.0, seed=1)
    assert greedy == written(temperature=0.0, seed=2) and greedy[: len(TASKS)] * 2 == greedy


def test_a_writer_varies_written_tasks_too(taught):
    child = written_task(1, "find a red mug", [TASKS[0]])
    assert len(TaskWriter(taught, start, seed=0)([[TASKS[1], child]])) == 1
    assert TaskWriter(taught, start)([]) == []


def test_what_cannot_be_read_is_none(untrained):
    written = TaskWriter(untrained, start, seed=0)([[TASKS[0]]] * 8)
    assert None in written, "an untrained model does not come to an end"
    assert np.all([w is None or w.strip() for w in written])
