"""Lesson 06: lines of a trace, how dream and reality part, the picker, the records it draws."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from dreamgym_nb.course import dream_audit, first_difference, lesson06, lesson06_trace
from dreamgym_nb.course.dream_audit import PairPicker, what_differed
from dreamgym_nb.dream import DreamWorld, start_from
from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments.compare import Recorded
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.worlds.listing import BEHIND


def dreamt(real, at=None, **changes):
    """A dream that says what reality says, but for the changes at one step."""
    steps = [
        replace(t, source="dream", **(changes if i == at else {}))
        for i, t in enumerate(real.transitions)
    ]
    return replace(real, id="dream/0", transitions=tuple(steps))


def cut(trajectory, steps):
    return replace(trajectory, transitions=trajectory.transitions[:steps])


@pytest.fixture
def bought(log):
    """A real episode with a failed action in it that ends with a purchase."""
    return next(
        t for t in log if t.transitions[-1].terminated and any(s.failed for s in t.transitions)
    )


# ---- the trace -------------------------------------------------------------------------------


def test_no_line_of_the_teacher_is_a_lie(transitions):
    lines = [
        (line, t.state.partition(BEHIND)[0])
        for t in transitions
        for line in t.reasoning.split("\n")
    ]
    assert sum(line.startswith("wanted ") for line, _ in lines) > 50
    assert sum(line.endswith(" is there") for line, _ in lines) > 50
    assert [pair for pair in lines if not lesson06_trace.line_holds(*pair)] == []


def test_a_turned_verdict_is_a_lie(transitions):
    turn = {"yes": "no", "no": "yes"}
    turned = [
        f"{line.rpartition(' ')[0]} {turn[line.rpartition(' ')[2]]}"
        for t in transitions
        for line in t.reasoning.split("\n")
        if line.startswith("wanted ")
    ]
    assert turned and not any(lesson06_trace.line_holds(line, "") for line in turned)


def test_a_thing_that_failed_is_not_said_to_be_there(transitions):
    lies = [
        (t.action.removeprefix("click[").removesuffix("]") + " is there", t)
        for t in transitions
        if t.failed and t.reasoning.endswith(" is not there")
    ]
    caught = [not lesson06_trace.line_holds(lie, t.state.partition(BEHIND)[0]) for lie, t in lies]
    # A word of a title stands on the page and is nothing to click on: that lie is not seen.
    assert len(lies) > 20 and sum(caught) > 0.8 * len(lies)


def test_a_line_that_cannot_be_read_is_no_crash():
    for line in ("wanted", "wanted ", "wanted x", "wanted at most got yes", " is there", ""):
        assert lesson06_trace.line_holds(line, "") in (True, False)
    assert not lesson06_trace.line_holds("wanted at most $5 got nothing yes", "")


# ---- how a dreamed step ends, and whose answer is whose --------------------------------------


def test_the_references_are_what_the_package_s_dream_does(oracle, shop, log):
    limit = 5
    ended = [t for t in log if t.transitions[-1].terminated and len(t.transitions) <= limit]
    played = [t for t in log if len(t.transitions) > limit][:3] + ended[:3]
    rows, live = len(played), list(range(len(played)))
    world = DreamWorld(oracle, shop.fold, start_from(log), rows, max_steps=limit)
    world.reset(options={"tasks": [t.task for t in played]})
    ends = [None] * rows
    for turn in range(1, limit + 1):
        actions = [
            played[i].transitions[turn - 1].action if i in live else None for i in range(rows)
        ]
        oracle.questions.clear()
        _, rewards, terminated, truncated, _ = world.step(actions)
        said = [oracle.truth(q) for q in oracle.questions]
        new = [lesson06.dreamed_end(o.reward, o.terminated, turn, limit) for o in said]
        ends = lesson06.deliver(ends, live, new)
        flags = zip(terminated.tolist(), truncated.tolist(), strict=True)
        assert [end[1:] for end in ends] == list(flags)
        assert [ends[i][0] for i in live] == rewards[live].tolist()
        live = [i for i in live if not any(ends[i][1:])]
    assert live == [] and len({end[1:] for end in ends}) == 2, "some ended, some were cut"


# ---- how they part ---------------------------------------------------------------------------


def test_the_kinds_of_difference(bought):
    last = len(bought.transitions) - 1
    failed = next(i for i, t in enumerate(bought.transitions) if t.failed)
    worked = next(i for i, t in enumerate(bought.transitions) if not t.failed)

    def kind(at, **changes):
        dream = dreamt(bought, at, **changes)
        assert first_difference(dream, bought) == at
        return what_differed(dream, bought, at)

    paid = bought.transitions[last].reward
    assert kind(last, reward=1.0 - paid) == "an end is judged differently"
    works = {"observation": "chosen color red", "failed": False}
    assert kind(failed, **works) == "what is impossible works"
    fails = {"observation": "nothing happens: no", "failed": True}
    assert kind(worked, **fails) == "what is possible fails"
    assert kind(worked, observation="another page") == "another page is shown"
    assert what_differed(dreamt(bought), cut(bought, last), last) == "one was already over"


# ---- the widget ------------------------------------------------------------------------------


def test_the_picker_shows_the_chosen_pair_at_its_first_difference(bought):
    last = len(bought.transitions) - 1
    wrong = dreamt(bought, last, reward=1.0 - bought.transitions[last].reward)
    picker = PairPicker([(wrong, bought), (dreamt(bought), bought)])
    assert picker.choice.options[0][0].startswith("1: an end is judged differently (find ")
    assert picker.choice.options[1][0].startswith("2: no difference (find ")
    assert picker.stepper.slider.value == last + 1
    assert picker.widget.children == (picker.choice, picker.stepper.widget)
    picker.choice.value = 1
    assert picker.stepper.slider.value == 1 and picker.stepper.jump.disabled
    assert picker.widget.children[1] is picker.stepper.widget
    picker.choice.value = 0
    assert "for the first time" in picker.stepper.status.value


def test_a_picker_without_pairs_says_what_to_do():
    with pytest.raises(UserError, match="dream more episodes"):
        PairPicker([])


# ---- records ---------------------------------------------------------------------------------


def record(success):
    exam = {"real": {"success": success}}
    return {"settings": {}, "exam": exam, "transitions": {"real": round(1000 * success)}}


def test_recorded_runs_are_drawn_by_seed_and_compared():
    marks = {"start": (0.2, 0.3), "grpo_dream": (0.5, 0.7), "grpo_real": (0.6,)}
    kept = Recorded(
        {Run("shop", m, s): record(v) for m, vs in marks.items() for s, v in enumerate(vs)}
    )
    methods = ["start", "grpo_dream", "grpo_real", "ppo_real"]
    found = dream_audit.recorded_success(kept, "shop", methods)
    assert found == {
        "start": {0: 0.2, 1: 0.3},
        "grpo_dream": {0: 0.5, 1: 0.7},
        "grpo_real": {0: 0.6},
    }
    axes = Figure().subplots()
    dream_audit.draw_seeds(axes, found)
    rows = dream_audit.recorded_rows(kept, "shop", found)
    assert [r["seeds"] for r in rows] == [2, 2, 1]
    assert rows[1]["success"].startswith("0.60 ±") and rows[2]["success"] == "0.60"
    assert [r["real steps"] for r in rows] == [250, 600, 600]
    lines = [line.get_ydata() for line in axes.get_lines()]
    assert [list(y) for y in lines[:2]] == [[0.2, 0.5, 0.6], [0.3, 0.7]]
    assert list(lines[2]) == pytest.approx([0.25, 0.6, 0.6])
    assert "+0.350" in dream_audit.compared(kept, "shop", "grpo_dream", "start")
    assert "not both recorded" in dream_audit.compared(kept, "shop", "grpo_dream", "grpo_real")
    assert dream_audit.recorded_success(kept, "web", methods) == {}
