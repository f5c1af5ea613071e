"""Each check accepts the solution and rejects, by its name, every wrong answer that is known."""

import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

from dreamgym_nb import course
from dreamgym_nb.course import exercises
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.exercises import Exercise, Prediction, Wrong

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = {
    name.removeprefix("lesson"): importlib.import_module(f"dreamgym_nb.course.{name}")
    for name in sorted(m.name for m in pkgutil.iter_modules(course.__path__))
    if re.fullmatch(r"lesson\d\d", name)
}
ALL = [e for lesson in LESSONS.values() for e in lesson.EXERCISES]
MISTAKES = [(e, w) for e in ALL for w in e.wrong]
FUNCTIONS = [e for e in ALL if isinstance(e, Exercise)]


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_the_solution_is_accepted(exercise):
    verdict = exercises.judge(exercise, exercise.solution)
    assert verdict.status == "right"
    if isinstance(exercise, Exercise):
        assert f"all {len(exercise.cases())} cases" in verdict.text


@pytest.mark.parametrize(("exercise", "wrong"), MISTAKES, ids=lambda x: x.name.replace(" ", "-"))
def test_each_wrong_answer_is_rejected_and_recognised(exercise, wrong):
    verdict = exercises.judge(exercise, wrong.answer)
    assert verdict.status == ("not yet" if isinstance(exercise, Exercise) else "surprised")
    assert f"({wrong.name}) {wrong.misconception}" in verdict.text


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.name)
def test_there_are_wrong_answers_and_each_is_its_own(exercise):
    assert len(exercise.wrong) >= 3
    answers = [w.answer for w in exercise.wrong] + [exercise.bug] * (exercise.bug is not None)
    made = [tuple(map(str, exercises._run(exercise, a))) for a in answers]
    changed = [tuple(r.changed for r in exercises._run(exercise, a)) for a in answers]
    assert len(set(zip(made, changed, strict=True))) == len(made)


@pytest.mark.parametrize("exercise", [e for e in ALL if e not in FUNCTIONS], ids=lambda e: e.name)
def test_each_option_of_a_prediction_is_the_solution_or_a_named_mistake(exercise):
    mistakes = [w.answer for w in exercise.wrong]
    assert sorted([exercise.solution, *mistakes]) == sorted(exercise.options)
    assert exercises.judge(exercise, None).status == "to do"


@pytest.mark.parametrize("number", sorted(LESSONS))
def test_the_notebook_has_each_exercise_with_stub_check_hint_and_solution(number):
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = nb.read(path).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    folded = re.findall(r"<summary>Solution</summary>\s*```python\n(.*?)```", text, re.DOTALL)
    of_lesson = [e for e in LESSONS[number].EXERCISES if isinstance(e, Exercise)]
    for exercise in LESSONS[number].EXERCISES:
        checks = [c for c in code if re.search(rf"^{exercise.name} = exercises\.check\(", c, re.M)]
        assert len(checks) == 1, f"{exercise.name} has no check cell of its own"
        if exercise not in of_lesson:
            assert [c for c in code if re.search(rf"^{exercise.name} = None\b", c, re.M)]
            assert all(f'"{option}"' in "\n".join(code) for option in exercise.options)
            continue
        [stub] = [c for c in code if re.search(rf"^def {exercise.name}\(", c, re.MULTILINE)]
        names = {}
        exec(stub, names)  # noqa: S102, the lesson's own cell
        assert_is_a_good_stub(names[exercise.name])
        assert exercises.judge(exercise, names[exercise.name]).status == "to do"
        [solution] = [s for s in folded if f"def {exercise.name}(" in s]
        exec(solution, names)  # noqa: S102
        assert exercises.judge(exercise, names[exercise.name]).status == "right"
    assert text.count("<summary>Hint</summary>") == len(of_lesson)


def assert_is_a_good_stub(stub):
    """Its result has a type, and its docstring an example."""
    assert "return" in stub.__annotations__, f"{stub.__name__} does not say what it returns"
    assert re.search(r"Examples?:", stub.__doc__ or ""), f"{stub.__name__} has no worked example"


# ---- the machinery, on an exercise of its own -----------------------------------------------


def add(a, b):
    return a + b


SUM = Exercise(
    name="add",
    title="add two numbers",
    solution=add,
    cases=lambda: [([1], [2]), ([2], [2]), ([3, 1], [4])],
    wrong=(Wrong("swaps", lambda a, b: b + a, "Order matters."),),
)


@pytest.fixture(autouse=True)
def _own_board(monkeypatch):
    monkeypatch.setattr(exercises, "_board", {})


def stub(a, b):
    raise NotImplementedError


def test_a_stub_is_to_do_and_the_reference_goes_on(capsys):
    assert exercises.check(SUM, stub) is add
    assert "to do" in exercises.board_html() and "0 of 1 exercises" in exercises.board_html()
    assert capsys.readouterr().out.startswith("○ add: To do. Until you have written it")


def test_a_right_answer_is_used_itself(capsys):
    def mine(a, b):
        return [*a, *b]

    assert exercises.check(SUM, mine) is mine
    assert "1 of 1 exercises are right" in exercises.board_html()
    assert capsys.readouterr().out == "● add: Right, on all 3 cases.\n"


def test_a_known_mistake_gets_its_name_and_the_smallest_counter_example(capsys):
    assert exercises.check(SUM, lambda a, b: b + a) is add
    said = capsys.readouterr().out
    assert "Not yet. For [1], [2]\n  wanted [1, 2]\n  got    [2, 1]\n(swaps) Order matters." in said
    assert "<strong>not yet</strong>" in exercises.board_html()


def test_an_unknown_mistake_gets_the_counter_example_alone():
    verdict = exercises.judge(SUM, lambda a, b: a + b if a != [2] else [])
    assert "For [2], [2]\n  wanted [2, 2]\n  got    []" in verdict.text
    assert "(swaps)" not in verdict.text


def test_an_error_is_an_answer():
    assert "got    ZeroDivisionError: " in exercises.judge(SUM, lambda a, b: 1 / 0).text
    assert "got    TypeError: " in exercises.judge(SUM, lambda a: a).text


def test_changing_an_argument_is_noticed():
    def changes(a, b):
        a += b
        return a

    text = exercises.judge(SUM, changes).text
    assert "the result is right, but your function changed its argument" in text


# ---- functions to mend, predictions, what counts as the same ---------------------------------

MEND = dataclasses.replace(SUM, bug=lambda a, b: [*a, *b][:1])


def test_a_planted_bug_is_to_do_until_it_is_gone():
    verdict = exercises.judge(MEND, lambda a, b: (a + b)[:1])
    assert verdict.status == "to do" and "The bug is still there" in verdict.text
    assert "For [1], [2]\n  wanted [1, 2]\n  got    [1]" in verdict.text
    assert exercises.judge(MEND, add).status == "right"
    assert "(swaps)" in exercises.judge(MEND, lambda a, b: b + a).text


GUESS = Prediction(
    name="guess",
    title="which is more",
    options=("a", "b", "same"),
    solution="b",
    wrong=(Wrong("first", "a", "No."), Wrong("neither", "same", "They differ.")),
)


def test_a_prediction_that_nobody_made_is_to_do_and_the_run_goes_on(capsys):
    assert exercises.check(GUESS, None, "b") == "b"
    said = capsys.readouterr().out
    assert said.startswith("○ guess: To do. It came out as 'b'") and "'a', 'b', 'same'" in said


def test_a_wrong_prediction_is_a_surprise_and_names_what_it_takes_for_granted():
    assert exercises.judge(GUESS, "b", "b").status == "right"
    verdict = exercises.judge(GUESS, "a", "b")
    assert verdict.status == "surprised" and "(first) No." in verdict.text
    assert "is none of the options" in exercises.judge(GUESS, "c", "b").text


def test_where_it_came_out_otherwise_no_misconception_is_claimed():
    verdict = exercises.judge(GUESS, "b", "same")
    assert verdict.status == "surprised" and "came out as 'same'" in verdict.text
    assert "(first)" not in exercises.judge(GUESS, "a", "same").text


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        (0.3, 0.31, False),
        (1, 1.0, True),
        (float("nan"), float("nan"), True),
        (1.0, "1.0", False),
        ("1", 1.0, False),
        ([1.0, 2], (1, 2.0), True),
        (np.array([0.1, 0.2]), [0.1, 0.2], True),
        ([1], [1, 2], False),
        ({"a": [0.3]}, {"a": (0.1 + 0.2,)}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, 0.0, False),
        (None, None, True),
        ("ab", ["a", "b"], False),
    ],
)
def test_answers_are_compared_as_a_teacher_would(a, b, equal):
    assert exercises.same(a, b) is exercises.same(b, a) is equal


def test_numbers_are_shown_as_a_reader_wants_them():
    shares = Exercise(
        name="shares",
        title="Some shares",
        solution=lambda x: {"of": (x / 3, np.float64(0.3) - 0.2)},
        cases=lambda: [(1.0,)],
    )
    text = exercises.judge(shares, lambda x: np.array([x, 2.0])).text
    assert "wanted {'of': (0.333333, 0.1)}\n  got    [1.0, 2.0]" in text
    near = exercises.judge(shares, lambda x: {"of": (x / 3, 0.1 + 3e-7 + 1e-6)}).text
    wanted, got = re.findall(r"(?:wanted|got) +(.*)", near)
    assert wanted != got, "what differs is seen"


def test_a_difference_that_rounding_hides_is_shown_in_full():
    big = Exercise(name="big", title="A count", solution=lambda: 1234567.0, cases=lambda: [()])
    text = exercises.judge(big, lambda: 1234569.0).text
    assert "wanted 1234567.0\n  got    1234569.0" in text
