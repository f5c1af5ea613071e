"""M_task: its format, its samples, and that the network which learned them writes variations."""

import dataclasses

import numpy as np
import pytest

from dreamgym_nb.curriculum import Curriculum
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory, Transition
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import EOS, parse_variation, variation_prompt, variation_target
from dreamgym_nb.rollout import Episode
from dreamgym_nb.task_filter import TEST, TaskFilter
from dreamgym_nb.task_writer import (
    TaskWriter,
    begin_as_seed,
    is_written,
    relatives,
    task_samples,
    written_task,
)
from dreamgym_nb.training import fit

COLORS = ("red", "blue", "green", "black")
ROOMS = {"kitchen": ("mug", "pan"), "bedroom": ("pen", "cup")}
TASKS = {
    room: [Task("toy", f"train/{room}/{c} {t}", f"find a {c} {t}") for t in things for c in COLORS]
    for room, things in ROOMS.items()
}
EVERY = [task for tasks in TASKS.values() for task in tasks]


def room_of(task):
    return task.goal.get("begins_as", task.id).split("/")[1]


def start(task):
    """Where a toy task begins; only the world's own tasks are known."""
    return f"room: {room_of(task)}"


def state(task):
    """What is seen where a toy task was solved."""
    return f"at shelf\nhere: {' '.join(ROOMS[room_of(task)])}"


def solved(task, reward=1.0):
    step = Transition(
        task, (), state(task), "take it", "", "took it", "taken", reward, True, "real", task.id
    )
    return Trajectory(task.id, task, start(task), "s0", (step,), False)


LOG = [solved(task) for task in EVERY]


@pytest.fixture(scope="module")
def taught():
    """A tiny model that has learned to write variations of the toy tasks."""
    texts = [variation_prompt([t.instruction] * 2, state(t)) for t in EVERY]
    lm = LanguageModel.tiny(texts, seed=0, width=32, layers=2, heads=4)
    samples = task_samples(lm, LOG, 200, m=2, seed=0)
    fit(lm, samples, steps=120, learning_rate=2e-2, tokens_per_batch=512)
    return lm


# ---- the format -----------------------------------------------------------------------------


def test_the_prompt_is_equation_6_and_what_there_is_to_ask_for():
    text = variation_prompt(["find a mug", "find a rug"], "item b1\nmug")
    tasks = "\nTask: find a mug<eos>\nTask: find a rug<eos>\nTask:"
    assert text == "\nState: item b1\nmug" + tasks
    assert variation_prompt(["find a mug", "find a rug"], "") == tasks
    assert variation_target("find a hat") == " find a hat<eos>"
    longer = variation_prompt(["find a mug"], "") + variation_target("find a rug") + "\nTask:"
    assert longer == tasks, "what was written is a seed of the next one"


def test_a_written_task_is_read_back():
    for instruction in ("find a hat", "日本 🙂", "a  b", "$5 and [7]"):
        assert parse_variation(variation_target(instruction)) == instruction


@pytest.mark.parametrize(
    "text", ["", EOS, " ", " \n" + EOS, " find", " a\nb<eos>", " a<eos> b<eos>"]
)
def test_what_was_cut_is_empty_or_has_lines_is_no_task(text):
    assert parse_variation(text) is None


# ---- written tasks --------------------------------------------------------------------------


def test_a_written_task_begins_where_its_first_seed_began():
    first, last = EVERY[0], EVERY[-1]
    child = written_task(7, "find a hat", [first, last])
    assert (child.world, child.id, child.instruction) == ("toy", "gen/00007", "find a hat")
    assert child.goal == {"begins_as": first.id, "seeds": [first.id, last.id]}
    grandchild = written_task(8, "find a hat", [child, last])
    assert grandchild.goal["begins_as"] == first.id, "a written task begins nowhere by itself"
    assert is_written(child) and is_written(grandchild) and not is_written(last)
    begin = begin_as_seed(start)
    assert begin(grandchild) == begin(child) == start(first) == begin(first) != begin(last)
    assert begin_as_seed(begin)(grandchild) == start(first)


# ---- what it learns from --------------------------------------------------------------------


def test_relatives_begin_alike_and_the_likest_come_first():
    texts = [t.instruction for t in EVERY]
    kin = relatives(texts, texts, [start(t) for t in EVERY], near=5)
    for i, found in enumerate(kin):
        assert len(found) == 5 and i not in found
        assert {room_of(EVERY[j]) for j in found} == {room_of(EVERY[i])}
        common = [len(set(texts[i].split()) & set(texts[j].split())) for j in found]
        assert common == sorted(common, reverse=True) and common[0] == 3 > common[-1]
    assert relatives([], [], [], 3) == []


def test_they_may_be_compared_by_another_text_than_their_wording():
    texts = ["here: a b", "here: c d", "here: a c", "here: d b"]
    assert relatives(list("wxyz"), texts, ["s"] * 4, 1) != relatives(list("wxyz"), texts, "sstt", 1)
    likest = relatives(list("wxyz"), ["a b", "c d", "b a", "d c"], ["s"] * 4, 1)
    assert likest == [[2], [3], [0], [1]]


def test_the_same_words_are_no_relative():
    texts = [t.instruction for t in EVERY] * 2
    starts = [start(t) for t in EVERY] * 2
    for i, found in enumerate(relatives(texts, texts, starts, near=20)):
        assert len(found) == 14, "seven others that begin alike, each twice"
        assert all(texts[j] != texts[i] for j in found)


def read(lm, sample):
    """The lines of a sample as text, and which of them count."""
    pieces, counts = [[]], []
    for token, counted in zip(sample.tokens, sample.counted, strict=True):
        if counts and counted != counts[-1]:
            pieces.append([])
        if not pieces[-1]:
            counts.append(counted)
        pieces[-1].append(token)
    return [lm.decode(p) for p in pieces], counts


@pytest.mark.parametrize("grounded", [True, False])
@pytest.mark.parametrize("m", [1, 3])
def test_a_sample_is_a_list_of_tasks_solved_in_one_place_and_all_but_the_first_count(
    taught, grounded, m
):
    by_words = {t.instruction: t for t in EVERY}
    firsts = set()
    for sample in task_samples(taught, LOG, 60, m=m, seed=1, grounded=grounded):
        pieces, counts = read(taught, sample)
        assert counts == [False, True] * m
        assert all(p.strip("\n") == "Task:" for p in pieces[2::2])
        listed = [by_words[parse_variation(" " + p.strip())] for p in pieces[1::2]]
        *shown, prompt, last = pieces[0].strip("\n").split("\nTask:")
        assert last == ""
        first = by_words[parse_variation(prompt if shown else prompt.removeprefix("Task:"))]
        assert shown == ([f"State: {state(first)}"] if grounded else [])
        assert len({*listed, first}) == m + 1, "none comes twice"
        assert {room_of(t) for t in listed} == {room_of(first)}
        firsts.add(first)
    assert len(firsts) > 10


def test_only_what_was_solved_is_learned_from(taught):
    log = [*LOG[:4], *(solved(t, 0.0) for t in EVERY[4:])]
    good = {t.task.instruction for t in log[:4]}
    for sample in task_samples(taught, log, 30, m=5, seed=0):
        pieces, counts = read(taught, sample)
        assert len(counts) == 6, "there are three relatives"
        assert {parse_variation(" " + p.strip()) for p in pieces[1::2]} <= good


def test_the_seed_fixes_the_samples(taught):
    def made(seed):
        return task_samples(taught, LOG, 20, m=2, seed=seed)

    assert made(3) == made(3) != made(4)


def test_there_must_be_something_to_vary(taught):
    apart = [LOG[0], LOG[-1]]
    twins = [LOG[0], solved(dataclasses.replace(EVERY[0], id="train/kitchen/x"))]
    for log in ([], apart, twins, [solved(t, 0.0) for t in EVERY]):
        with pytest.raises(UserError, match="collect a longer log"):
            task_samples(taught, log, 5)
    with pytest.raises(UserError, match="m is 0"):
        task_samples(taught, LOG, 5, m=0)


# ---- writing --------------------------------------------------------------------------------


def test_a_taught_model_asks_for_what_is_there(taught):
    for room, tasks in TASKS.items():
        written = TaskWriter(taught, temperature=1.0, seed=0)([(tasks[:1], state(tasks[0]))] * 40)
        words = [w.split() for w in written if w]
        good = [w[:2] == ["find", "a"] and w[2] in COLORS and len(w) == 4 for w in words]
        assert sum(good) / len(written) > 0.8
        assert sum(w[-1] in ROOMS[room] for w in words) / len(written) > 0.8, "of this room"
        assert len({tuple(w) for w in words}) > 2, "not one variation again and again"


def test_what_is_seen_counts_and_not_only_the_seeds(taught):
    """The seeds say nothing of the room: only the state does."""
    pen = [t for t in TASKS["bedroom"] if t.instruction.endswith("pen")]
    elsewhere = state(TASKS["kitchen"][0])
    grounded = TaskWriter(taught, seed=0)([(pen[:1], elsewhere)] * 30)
    blind = TaskWriter(taught, seed=0, grounded=False)([(pen[:1], elsewhere)] * 30)
    assert grounded != blind
    assert sum(w.split()[-1] in ROOMS["kitchen"] for w in grounded if w) > 0
    assert blind == TaskWriter(taught, seed=0, grounded=False)([(pen[:1], "")] * 30)


def test_seed_and_temperature_say_what_is_written(taught):
    asked = [([t], state(t)) for t in EVERY] * 2

    def written(**options):
        return TaskWriter(taught, **options)(asked)

    assert written(seed=1) == written(seed=1) != written(seed=2)
    greedy = written(temperature=0.0, seed=1)
    assert greedy == written(temperature=0.0, seed=2)
    assert greedy[: len(EVERY)] * 2 == greedy


def test_a_writer_varies_written_tasks_too(taught):
    child = written_task(1, "find a red mug", EVERY[:1])
    assert len(TaskWriter(taught, seed=0)([([child, EVERY[1]], "at shelf")])) == 1
    assert TaskWriter(taught)([]) == []


def test_what_cannot_be_read_is_none(untrained):
    written = TaskWriter(untrained, temperature=1.0, seed=0)([(EVERY[:1], "")] * 8)
    assert None in written, "an untrained model does not come to an end"
    assert all(w is None or w.strip() for w in written)


def test_the_seed_fixes_what_a_curriculum_does_with_it(taught):
    train = [t for i, t in enumerate(EVERY) if i % 3]
    held = [dataclasses.replace(t, id=t.id.replace("train", "test")) for t in EVERY[::3]]

    def run(seed):
        filter = TaskFilter(train, held[:2], start, alike=0.0)
        c = Curriculum(train, TaskWriter(taught, 1.0, seed), filter, share=0.5)
        rng = np.random.default_rng(seed)
        for _ in range(3):
            rolled = [solved(t, i % 2) for t in c(6, rng) for i in range(2)]
            c.observe([Episode(t) for t in rolled], 2)
        return [t.instruction for t in c.accepted], [t.id for t in c(6, rng)], c.summary()

    one, again, other = run(1), run(1), run(2)
    assert one == again != other
    assert set(one[0]) <= {t.instruction for t in held[2:]} and one[0], "all that is left to write"
    assert one[2]["rejected"][TEST] and one[2]["share_used"] > 0
