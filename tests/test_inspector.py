"""The memory inspector: right memories, an answer that depends on them, no callback that fails."""

from types import SimpleNamespace

import pytest

from dreamgym_nb.course import inspector
from dreamgym_nb.course.inspector import MOST, MemoryInspector, look
from dreamgym_nb.errors import UserError
from dreamgym_nb.prompts import GIVES, Format, experience_target
from dreamgym_nb.replay_buffer import ReplayBuffer


class Copyist:
    """A language model that writes off the last memory of its prompt, and is counted."""

    def __init__(self):
        self.prompts = []

    def encode(self, text):
        return [text]

    def generate(self, rows, max_new_tokens):
        self.prompts += [row[0] for row in rows]
        return [SimpleNamespace(tokens=row) for row in rows]

    def decode(self, tokens):
        page = tokens[0].rpartition(f"{GIVES} ")[2]
        return experience_target("", page, 0.0, False, Format(reasoning=False))


@pytest.fixture
def model(transitions):
    return SimpleNamespace(buffer=ReplayBuffer(transitions), format=Format(), lm=Copyist())


@pytest.fixture
def step(transitions):
    """One whose best memory of another episode shows the same page, and whose second does not."""
    buffer = ReplayBuffer(transitions)
    for t in transitions:
        [found] = buffer.retrieve([(t.state, t.action)], 2, [t.trajectory])
        if [m.observation == t.observation for m, _ in found] == [True, False]:
            return t
    raise AssertionError("the log has no such step")


def test_it_shows_what_the_buffer_finds_and_never_the_own_trajectory(model, step):
    seen = look(model, step)
    [found] = model.buffer.retrieve([(step.state, step.action)], MOST, [step.trajectory])
    assert list(seen.memories) == found and len(found) == MOST
    assert step.trajectory not in {m.trajectory for m, _ in seen.memories}
    cosines = [c for _, c in seen.memories]
    assert cosines == sorted(cosines, reverse=True)


def test_the_prompt_holds_the_best_memory_that_is_left(model, step):
    for without in range(MOST):
        seen = look(model, step, without)
        used = seen.memories[without][0]
        assert model.lm.prompts[-1].endswith(f"{GIVES} {used.observation}")
        assert seen.outcome.observation == used.observation
    assert look(model, step).right and not look(model, step, 1).right


def test_an_unreadable_answer_is_wrong_and_said_so(model, step):
    model.lm.decode = lambda tokens: "nonsense"
    seen = look(model, step)
    assert seen.outcome is None and not seen.right
    assert "(unreadable)" in inspector.look_html(seen)


def test_the_page_shows_memories_with_cosines_and_marks_what_was_taken(model, step):
    shown = inspector.look_html(look(model, step, 1))
    best, second = look(model, step).memories[:2]
    assert f"taken away: memory 1, cosine {best[1]:.2f}" in shown
    assert f"<strong>memory 2, cosine {second[1]:.2f}" in shown
    assert "without the best 1: ≠ wrong" in shown and "= right" not in shown
    assert "= right" in inspector.look_html(look(model, step))


@pytest.mark.parametrize("without", [-1, MOST + 1])
def test_more_cannot_be_taken_than_is_looked_at(model, step, without):
    with pytest.raises(UserError, match=f"0 to {MOST} of the best memories"):
        look(model, step, without)


# ---- the widget --------------------------------------------------------------------------------


def test_taking_memories_away_says_whether_the_answer_changed(model, step):
    widget = MemoryInspector(model, [step])
    assert widget.status.value.count("Step 1 of 1: the page is right.") == 1
    widget.take.click()
    assert "the page is wrong. Without the best 1 the answer is another one" in widget.status.value
    widget.back.click()
    assert "Without" not in widget.status.value and widget.seen.without == 0


def test_an_answer_that_stays_is_said_to_stay(model, step):
    model.lm.decode = lambda tokens: experience_target("", "rug", 0.0, False, Format())
    widget = MemoryInspector(model, [step])
    widget.take.click()
    assert "Without the best 1 the answer stays the same." in widget.status.value


def test_no_more_than_all_can_be_taken_and_no_answer_is_asked_twice(model, step):
    widget = MemoryInspector(model, [step])
    for _ in range(MOST + 3):
        widget.on_take()
    assert widget.seen.without == MOST
    asked = len(model.lm.prompts)
    widget.on_back()
    widget.on_take()
    assert len(model.lm.prompts) == asked == MOST + 1


def test_another_step_starts_with_all_its_memories(model, step, transitions):
    widget = MemoryInspector(model, [step, transitions[5]])
    widget.take.click()
    widget.slider.value = 2
    assert widget.seen.truth is transitions[5] and widget.seen.without == 0
    assert "Step 2 of 2: " in widget.status.value


def test_without_a_step_it_says_so(model):
    with pytest.raises(UserError, match="at least one held-out step"):
        MemoryInspector(model, [])
