"""Lesson 03: what is written by hand there equals what the package's buffer does."""

import random

import numpy as np
import pytest

from dreamgym_nb.course import lesson03
from dreamgym_nb.experience import Task, Transition
from dreamgym_nb.replay_buffer import ReplayBuffer


@pytest.fixture(scope="module")
def buffer(transitions):
    return ReplayBuffer(transitions)


def test_the_nearest_by_hand_are_those_of_the_buffer(buffer, transitions):
    held = buffer.transitions
    rows = buffer.encoder([(t.state, t.action) for t in held]).toarray().tolist()
    for t in transitions[::40]:
        [query] = buffer.encoder([(t.state, t.action)]).toarray().tolist()
        [found] = buffer.retrieve([(t.state, t.action)], 3)
        cosines = [c for _, c in lesson03.top_k(query, rows, 3)]
        assert cosines == pytest.approx([c for _, c in found], abs=1e-5)
        assert cosines[0] == pytest.approx(1.0, abs=1e-5), "its own step is in the buffer"


def test_what_a_step_may_see_is_what_the_buffer_shows_in_training(buffer, transitions):
    makers = {}
    for t in transitions:
        makers.setdefault((t.state, t.action, t.observation), set()).add(t.trajectory)
    leaky = 0
    for t in transitions[::20]:
        query = [(t.state, t.action)]
        [everything] = buffer.retrieve(query, len(buffer))
        ranked = [(m, frozenset(makers[m.state, m.action, m.observation])) for m, _ in everything]
        [shown] = buffer.retrieve(query, 3, [t.trajectory])
        own = lesson03.allowed(ranked, t.trajectory, 3)
        assert [m for m, _ in shown] == own
        leaky += own != [m for m, _ in everything[:3]]
    assert leaky > 0, "nothing had to be left out, so nothing was tried"


def transition(question, answer, source):
    state, action = question
    texts = (state, action, "", answer, answer)
    return Transition(Task("shop", "1", "x"), (), *texts, 0.0, False, source, "t")


@pytest.mark.parametrize("seed", range(5))
def test_growth_by_hand_holds_what_the_buffer_holds(seed):
    rng = random.Random(seed)
    questions = [("s", "click[a]"), ("s", "click[b]"), ("t", "click[a]")]

    def some(n):
        return [
            (rng.choice(questions), rng.choice("xyz"), rng.choice(("real", "dream")))
            for _ in range(n)
        ]

    first, then = some(4), some(8)
    buffer = ReplayBuffer([transition(*m) for m in first])
    by_hand = lesson03.grow([], first)
    held = sorted(((t.state, t.action), t.observation) for t in buffer.transitions)
    assert held == sorted(m[:2] for m in by_hand)
    buffer.add([transition(*m) for m in then])
    by_hand = lesson03.grow(by_hand, then)
    held = sorted(((t.state, t.action), t.observation) for t in buffer.transitions)
    assert held == sorted(m[:2] for m in by_hand)


def test_the_cosine_of_nothing_is_zero():
    assert lesson03.cosine([0.0, 0.0], [1.0, 2.0]) == 0.0
    assert lesson03.cosine([3.0, 4.0], [4.0, 3.0]) == pytest.approx(24 / 25)
    assert np.isclose(lesson03.cosine([1.0, 1.0], [-1.0, -1.0]), -1.0)
