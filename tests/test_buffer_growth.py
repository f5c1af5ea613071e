"""A buffer that is full lets dreams go first, a filter turns some away, and a leak is seen."""

import dataclasses
import math
import random

import pytest

from dreamgym_nb.encoders import TfidfEncoder
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Transition
from dreamgym_nb.replay_buffer import Confident, ReplayBuffer, leaks


def make(action, observation="o", trajectory="t0", source="real", confidence=None, task="1"):
    """A transition of which only these matter."""
    texts = ("s", action, "", observation, observation)
    task = Task("shop", task, "x")
    return Transition(task, (), *texts, 0.0, False, source, trajectory, confidence=confidence)


def dream(action, observation="o", trajectory="d0", confidence=None):
    return make(action, observation, trajectory, "dream", confidence)


class Fitted(TfidfEncoder):
    """φ that knows the words of some transitions, whatever the buffer is made of."""

    def __init__(self, transitions):
        super().__init__()
        super().fit([(t.state, t.action) for t in transitions])

    def fit(self, pairs):
        return self


def actions(buffer):
    return [t.action for t in buffer.transitions]


# ---- capacity ------------------------------------------------------------------------


def test_the_oldest_dream_leaves_first():
    buffer = ReplayBuffer([make("r0"), make("r1")], capacity=4)
    assert buffer.add([dream("d0"), dream("d1")]) == 2 and buffer.evicted == 0
    assert buffer.add([dream("d2")]) == 1
    assert (actions(buffer), len(buffer), buffer.evicted) == (["r0", "r1", "d1", "d2"], 4, 1)
    assert buffer.add([make("r2", trajectory="t1")]) == 1
    assert actions(buffer) == ["r0", "r1", "d2", "r2"]
    assert buffer.sources == {"real": 3, "dream": 1}


def test_real_memories_leave_only_where_no_dream_is_left():
    buffer = ReplayBuffer([make("r0")], capacity=2)
    buffer.add([dream("d0"), make("r1", trajectory="t1"), make("r2", trajectory="t1")])
    assert (actions(buffer), buffer.evicted) == (["r1", "r2"], 2)
    assert buffer.add([dream("d1")]) == 1, "it was new, but there is no room for it"
    assert actions(buffer) == ["r1", "r2"]
    assert ReplayBuffer([make(f"r{i}") for i in range(5)], capacity=3).transitions == [
        make(f"r{i}") for i in (2, 3, 4)
    ]


def test_a_worth_decides_who_leaves():
    buffer = ReplayBuffer([make("r0")], capacity=3, keep=lambda t: t.confidence or 0.0)
    buffer.add([dream("a", confidence=-0.1), dream("b", confidence=-0.9)])
    buffer.add([dream("c", confidence=-0.5)])
    assert actions(buffer) == ["r0", "a", "c"]
    buffer.add([dream("d", confidence=-0.7)])
    assert actions(buffer) == ["r0", "a", "c"], "worth less than what is held: it leaves at once"
    buffer.add([dream("e", confidence=-0.5)])
    assert actions(buffer) == ["r0", "a", "e"], "of equals the older leaves"


def test_a_memory_that_left_is_not_found_and_can_come_again():
    buffer = ReplayBuffer([make("click[a b c]")], capacity=2)
    buffer.add([dream("click[b]", "first")])
    buffer.add([dream("click[c]", "second")])
    ((*found,),) = buffer.retrieve([("s", "click[b]")], 9)
    assert sorted(m.observation for m, _ in found) == ["o", "second"]
    assert buffer.add([dream("click[b]", "first")]) == 1
    assert [m.observation for m, _ in buffer.retrieve([("s", "click[b]")], 1)[0]] == ["first"]


def test_a_fact_takes_the_place_of_a_dream_whose_number_has_changed():
    buffer = ReplayBuffer([make("r0")], capacity=3)
    for i in range(9):
        buffer.add([dream(f"d{i}")])
    assert len(buffer._memories) < 10, "places were given back"
    assert actions(buffer) == ["r0", "d7", "d8"]
    assert buffer.add([make("d7", "fact", "t1")]) == 1
    assert actions(buffer) == ["r0", "d8", "d7"]
    assert buffer.sources == {"real": 2, "dream": 1}


def test_a_fact_that_left_still_outdoes_a_dream_of_it():
    buffer = ReplayBuffer([make("a"), make("b")], capacity=1)
    assert actions(buffer) == ["b"]
    assert buffer.add([dream("a", "fancy")]) == 0


def test_a_capacity_of_none_gets_a_sentence():
    with pytest.raises(UserError, match="at least one memory, not 0"):
        ReplayBuffer([make("a")], capacity=0)


def step(held, batch, facts, capacity):
    """The rules once more, each the short way: what is held after `batch`, oldest first."""
    answered = {(t.state, t.action) for t in (*facts, *batch) if t.source == "real"}
    known = {(t.state, t.action, t.observation) for t in (*facts, *held)}
    held = list(held)
    for t in batch:
        if (t.state, t.action, t.observation) not in known:
            held.append(t)
            known.add((t.state, t.action, t.observation))
    held = [t for t in held if t.source == "real" or (t.state, t.action) not in answered]
    worth = {id(t): (t.source == "real", len(t.observation), i) for i, t in enumerate(held)}
    gone = {id(t) for t in sorted(held, key=lambda t: worth[id(t)])[:-capacity]}
    return [t for t in held if id(t) not in gone]


@pytest.mark.parametrize("capacity", [60, 150])
def test_a_full_buffer_is_one_made_of_what_is_left(transitions, capacity):
    """Whatever comes and goes, facts that replace dreams too; places are given back on the way."""
    rng = random.Random(0)
    buffer = ReplayBuffer(
        transitions[:50], Fitted(transitions), capacity=capacity, keep=lambda t: len(t.observation)
    )
    held, most = buffer.transitions, 0
    for start in range(50, 350, 30):
        dreams = [
            dataclasses.replace(
                t, observation=f"{t.observation} {start}", source="dream", trajectory="d"
            )
            for t in rng.sample(transitions, 40)
        ]
        for batch in (dreams, transitions[start : start + 30]):
            held = step(held, batch, transitions[:start], capacity)
            buffer.add(batch)
            assert buffer.transitions == held
            assert len(buffer._memories) == buffer._index.size <= 2 * len(buffer)
            most = max(most, len(buffer._memories))
    assert buffer.evicted > 100 and most > capacity
    pairs = [(t.state, t.action) for t in transitions[:40]]
    assert buffer.retrieve(pairs, 4) == ReplayBuffer(held, Fitted(transitions)).retrieve(pairs, 4)


# ---- a filter for dreams -----------------------------------------------------------------


def test_a_filter_is_asked_about_new_dreams_only():
    asked = []

    def accept(t):
        asked.append(t.action)
        return "good" in t.action

    buffer = ReplayBuffer([make("r0")], accept=accept)
    assert buffer.add([make("r1"), dream("good"), dream("bad"), dream("r0"), dream("good")]) == 2
    assert (actions(buffer), buffer.refused) == (["r0", "r1", "good"], 1)
    assert asked == ["good", "bad"], "not about facts, nor dreams of facts, nor what is known"
    assert buffer.add([dream("bad")]) == 0 and buffer.refused == 2


def test_confident_dreams_are_held():
    said = {"sure": -0.001, "exact": -0.01, "unsure": -0.2, "lost": -math.inf}
    dreams = [dream(a, confidence=c) for a, c in said.items()]
    buffer = ReplayBuffer([make("r0")], accept=Confident(-0.01))
    assert buffer.add(dreams) == 2
    assert (actions(buffer), buffer.refused) == (["r0", "sure", "exact"], 2)
    with pytest.raises(UserError, match="does not say how sure"):
        buffer.add([dream("unsaid")])


# ---- leaks -----------------------------------------------------------------------------------


def own(transitions):
    return [(t.state, t.action) for t in transitions], [t.trajectory for t in transitions]


@pytest.mark.parametrize("k", [1, 4])
def test_no_training_sample_sees_its_own_trajectory(transitions, k, shop):
    buffer = ReplayBuffer(transitions)
    pairs, names = own(transitions)
    assert leaks(transitions, buffer.retrieve(pairs, k, names), shop.tasks("test")) == []
    found = leaks(transitions, buffer.retrieve(pairs, k))
    assert len(found) > 0.5 * len(transitions), "without the exclusion they are seen"
    assert {leak.why for leak in found} == {"own trajectory"}
    assert all(leak.transition.trajectory == leak.memory.trajectory for leak in found)


def test_books_that_are_wrong_are_seen_as_leaks(transitions):
    """The check does not trust the buffer: here it believes that everybody made everything."""
    buffer = ReplayBuffer(transitions)
    buffer._owners[:] = -2
    pairs, names = own(transitions)
    assert leaks(transitions, buffer.retrieve(pairs, 1, names))


def test_what_another_trajectory_made_too_is_no_leak():
    log = [make("a"), make("a", trajectory="t1"), make("b")]
    buffer = ReplayBuffer(log)
    memories = buffer.retrieve(*own(log)[:1], 1, [None] * 3)
    (leak,) = leaks(log, memories)
    assert (leak.transition, leak.memory, leak.why) == (log[2], log[2], "own trajectory")


def test_memories_of_test_tasks_are_seen():
    test = [Task("shop", "9", "find")]
    log = [make("a"), make("b", trajectory="t1")]
    buffer = ReplayBuffer(log)
    assert buffer.of_tasks(test) == []
    exam = make("c", trajectory="t9", task="9")
    buffer.add([exam])
    assert buffer.of_tasks(test) == [exam]
    assert buffer.of_tasks([Task("web", "9", "find")]) == []
    found = leaks(log, buffer.retrieve([("s", "c")] * 2, 1, ["t0", "t1"]), test)
    assert [(leak.memory, leak.why) for leak in found] == [(exam, "test task")] * 2
