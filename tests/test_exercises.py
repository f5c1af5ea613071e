"""Each check accepts the solution and rejects, by its name, every wrong answer that is known."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from dreamgym_nb import course
from dreamgym_nb.course import exercises
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.exercises import Exercise, Wrong

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = {
    name.removeprefix("lesson"): importlib.import_module(f"dreamgym_nb.course.{name}")
    for name in sorted(m.name for m in pkgutil.iter_modules(course.__path__))
    if re.fullmatch(r"lesson\d\d", name)
}
ALL = [e for lesson in LESSONS.values() for e in lesson.EXERCISES]
MISTAKES = [(e, w) for e in ALL for w in e.wrong]


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_the_solution_is_accepted(exercise):
    verdict = exercises.judge(exercise, exercise.solution)
    assert verdict.status == "right"
    assert f"all {len(exercise.cases())} cases" in verdict.text


@pytest.mark.parametrize(("exercise", "wrong"), MISTAKES, ids=lambda x: x.name.replace(" ", "-"))
def test_each_wrong_answer_is_rejected_and_recognised(exercise, wrong):
    verdict = exercises.judge(exercise, wrong.answer)
    assert verdict.status == "not yet"
    assert f"({wrong.name}) {wrong.misconception}" in verdict.text


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_there_are_wrong_answers_and_each_is_its_own(exercise):
    assert len(exercise.wrong) >= 3
    made = [tuple(map(str, exercises._run(exercise, w.answer))) for w in exercise.wrong]
    changed = [tuple(r.changed for r in exercises._run(exercise, w.answer)) for w in exercise.wrong]
    assert len(set(zip(made, changed, strict=True))) == len(made)


@pytest.mark.parametrize("number", sorted(LESSONS))
def test_the_notebook_has_each_exercise_with_stub_check_hint_and_solution(number):
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = nb.read(path).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    folded = re.findall(r"<summary>Solution</summary>\s*```python\n(.*?)```", text, re.DOTALL)
    for exercise in LESSONS[number].EXERCISES:
        [stub] = [c for c in code if re.search(rf"^def {exercise.name}\(", c, re.MULTILINE)]
        names = {}
        exec(stub, names)  # noqa: S102, the lesson's own cell
        assert exercises.judge(exercise, names[exercise.name]).status == "to do"
        checks = [c for c in code if re.search(rf"^{exercise.name} = exercises\.check\(", c, re.M)]
        assert len(checks) == 1, f"{exercise.name} has no check cell of its own"
        [solution] = [s for s in folded if f"def {exercise.name}(" in s]
        exec(solution, names)  # noqa: S102
        assert exercises.judge(exercise, names[exercise.name]).status == "right"
    assert text.count("<summary>Hint</summary>") == len(LESSONS[number].EXERCISES)


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
