"""The stepper's callbacks are called here, because a notebook would hide their errors."""

import io
import re
import subprocess
import sys
import types
from dataclasses import replace

import nbformat
import pytest

from dreamgym_nb import course
from dreamgym_nb.course import episodes, widgets
from dreamgym_nb.course.runner import run_notebook
from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import Shop, collect_log


@pytest.fixture(scope="module")
def real():
    world = Shop()
    log = collect_log(world, world.tasks("train"), 30, 0)
    return next(t for t in log if len(t.transitions) >= 4 and t.transitions[-1].terminated)


def dreamt(real, wrong=None):
    steps = [
        replace(t, source="dream", **({"observation": "<lost>"} if i == wrong else {}))
        for i, t in enumerate(real.transitions)
    ]
    return replace(real, transitions=tuple(steps))


def assert_shows(stepper, step):
    assert stepper.slider.value == step + 1
    assert stepper.page.value == episodes.side_by_side_html(stepper.dream, stepper.real, step)
    assert f"Step {step + 1} of {stepper.slider.max}, " in stepper.status.value


def test_the_stepper_starts_at_the_first_step(real):
    stepper = widgets.EpisodeStepper(dreamt(real), real)
    assert (stepper.slider.min, stepper.slider.max) == (1, len(real.transitions))
    assert_shows(stepper, 0)


def test_moving_the_slider_shows_that_step(real):
    stepper = widgets.EpisodeStepper(dreamt(real, wrong=1), real)
    for step in (2, 1, 0):
        stepper.slider.value = step + 1
        assert_shows(stepper, step)
    stepper.slider.value = 2
    assert "≠ differs here for the first time" in stepper.status.value
    assert "&lt;lost&gt;" in stepper.page.value


def test_previous_and_next_stop_at_the_ends(real):
    stepper = widgets.EpisodeStepper(dreamt(real), real)
    stepper.previous.click()
    assert_shows(stepper, 0)
    for step in range(1, len(real.transitions)):
        stepper.next.click()
        assert_shows(stepper, step)
    stepper.next.click()
    assert_shows(stepper, len(real.transitions) - 1)
    stepper.on_previous()
    assert_shows(stepper, len(real.transitions) - 2)
    stepper.on_next()
    assert_shows(stepper, len(real.transitions) - 1)


def test_jump_goes_to_the_first_difference(real):
    stepper = widgets.EpisodeStepper(dreamt(real, wrong=2), real)
    assert not stepper.jump.disabled
    stepper.jump.click()
    assert_shows(stepper, 2)


def test_jump_is_disabled_without_a_difference(real):
    stepper = widgets.EpisodeStepper(dreamt(real), real)
    assert stepper.jump.disabled and stepper.jump.description == "No difference"
    stepper.on_jump()
    assert_shows(stepper, 0)


def test_an_error_in_a_callback_is_not_swallowed(real, monkeypatch):
    stepper = widgets.EpisodeStepper(dreamt(real), real)
    monkeypatch.setattr(widgets, "side_by_side_html", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stepper.slider.value = 2


def test_every_control_has_a_label_and_only_core_widgets_are_used(real):
    stepper = widgets.EpisodeStepper(dreamt(real), real)
    controls = stepper.widget.children[0].children
    assert controls == (stepper.slider, stepper.previous, stepper.next, stepper.jump)
    assert all(c.description for c in controls)
    assert all(b.tooltip for b in controls[1:])
    names = {type(w).__name__ for w in (*controls, *stepper.widget.children, stepper.widget)}
    assert names == {"IntSlider", "Button", "HTML", "HBox", "VBox"}


def test_the_status_is_escaped(real):
    steps = tuple(replace(t, action="<i>") for t in real.transitions)
    real = replace(real, transitions=steps)
    assert "&lt;i&gt;" in widgets.EpisodeStepper(dreamt(real), real).status.value


def test_episodes_without_steps_or_of_different_actions_are_refused(real):
    empty = replace(real, transitions=())
    with pytest.raises(UserError, match="no step"):
        widgets.EpisodeStepper(empty, empty)
    with pytest.raises(UserError, match="first and the real one second"):
        widgets.EpisodeStepper(real, real)


def test_show_displays_the_widget(real, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things: shown.extend(things))
    stepper = widgets.EpisodeStepper(dreamt(real), real)
    stepper.show()
    assert shown[-1] is stepper.widget
    assert "while the notebook is running" in shown[0].data


# ---- progress ------------------------------------------------------------------------


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(widgets.time, "perf_counter", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Handle:
    """Stands in for IPython's display and its handle; keeps what each write replaced."""

    def __init__(self, monkeypatch):
        self.outputs = []
        monkeypatch.setattr(widgets, "_in_kernel", lambda: True)
        monkeypatch.setattr("IPython.display.display", self.display)

    def display(self, bundle, raw, display_id):
        assert raw and display_id
        self.outputs.append(bundle)
        return self

    def update(self, bundle, raw):
        assert raw
        self.outputs.append(bundle)


def test_progress_in_a_notebook_ends_in_one_sentence(monkeypatch):
    clock, handle = Clock(monkeypatch), Handle(monkeypatch)
    report = widgets.progress("experience <model>")
    assert handle.outputs[0]["text/plain"] == "experience <model>: starting"
    for step in range(1, 301):
        clock.now += 0.1
        report(step, 300, 3.0 / step)
    assert len(handle.outputs) <= 30 / widgets._UPDATE_SECONDS + 2  # and not 300
    middle, last = handle.outputs[30], handle.outputs[-1]
    assert "<progress value=" in middle["text/html"] and "left" in middle["text/plain"]
    assert last["text/plain"] == "experience <model>: 300 of 300 updates, loss 0.01, 30 s"
    assert last["text/html"] == (
        "<div>experience &lt;model&gt;: 300 of 300 updates, loss 0.01, 30 s</div>"
    )


def test_the_time_left_follows_the_pace_and_not_the_preparation(monkeypatch):
    clock, handle = Clock(monkeypatch), Handle(monkeypatch)
    report = widgets.progress("agent")
    clock.now += 50  # encoding the samples
    report(1, 101, 1.0)
    assert handle.outputs[-1]["text/plain"] == "agent: 1 of 101 updates, loss 1, time left unknown"
    clock.now += 20
    report(11, 101, 0.5)
    assert handle.outputs[-1]["text/plain"].endswith("loss 0.5, about 180 s left")


def test_a_count_without_words_ends_in_one_sentence(capsys):
    report = widgets.counting("the dream", "questions")
    report(10, 20)
    report(20, 20)
    assert re.fullmatch(r"the dream: 20 of 20 questions, \d\.\d s\n", capsys.readouterr().err)


def test_rl_progress_reports_success_and_further_words(monkeypatch):
    clock, handle = Clock(monkeypatch), Handle(monkeypatch)
    report = widgets.rl_progress(2)
    clock.now += 5
    report(1, 0.25, "1,024 dreamed transitions")
    assert handle.outputs[-1]["text/plain"].startswith(
        "RL in the dream: 1 of 2 iterations, success in the dream 0.25, 1,024 dreamed transitions, "
    )
    clock.now += 700
    report.on_iteration(types.SimpleNamespace(iteration=2, success=0.5), [])
    assert handle.outputs[-1]["text/plain"] == (
        "RL in the dream: 2 of 2 iterations, success in the dream 0.50, 11 min 45 s"
    )


def test_rl_progress_says_nothing_before_the_first_iteration(monkeypatch):
    """What is found on disk is never reported; a bar that waits for it would stay for ever."""
    clock, handle = Clock(monkeypatch), Handle(monkeypatch)
    report = widgets.rl_progress(2)
    assert handle.outputs == []
    clock.now += 30
    report(1, 0.25)
    assert len(handle.outputs) == 1 and "time left unknown" in handle.outputs[0]["text/plain"]


def test_progress_in_a_terminal_is_one_line_written_again(monkeypatch):
    clock, terminal = Clock(monkeypatch), Terminal()
    monkeypatch.setattr(widgets, "_in_kernel", lambda: False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    report = widgets.progress("agent")
    for step in (1, 2, 3):
        clock.now += 1
        report(step, 3, 0.5)
    text = terminal.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    lines = text.rstrip("\n").split("\r")[1:]
    assert len(lines) == 3 and {len(line) for line in lines} == {59}
    assert lines[-1].rstrip() == "agent: 3 of 3 updates, loss 0.5, 3.0 s"


def test_progress_into_a_file_is_the_final_line_only():
    script = (
        "from dreamgym_nb.course import progress\n"
        "report = progress('agent')\n"
        "for i in range(3): report(i + 1, 3, 0.25)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert re.fullmatch(r"agent: 3 of 3 updates, loss 0\.25, 0\.\d s\n", done.stderr)


def test_an_executed_lesson_keeps_one_line_and_no_widget(tmp_path):
    size = nbformat.v4.new_code_cell("SIZE = 'lesson'", metadata={"tags": ["parameters"]})
    work = nbformat.v4.new_code_cell(
        "from dreamgym_nb.course import progress, widgets\n"
        "widgets._UPDATE_SECONDS = 0\n"
        "report = progress('agent')\n"
        "for i in range(20): report(i + 1, 20, 0.25)\n"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[size, work]), tmp_path / "00_bar.ipynb")
    run = run_notebook(tmp_path / "00_bar.ipynb", "smoke", out_dir=tmp_path / "out")
    book = nbformat.read(run.executed, 4)
    [output] = book.cells[-1].outputs
    assert output.output_type == "display_data"
    assert re.fullmatch(
        r"agent: 20 of 20 updates, loss 0\.25, \d+\.\d s", output.data["text/plain"]
    )
    assert "<progress" not in output.data["text/html"]
    assert not book.metadata.get("widgets")


def test_the_course_offers_them():
    for name in ("EpisodeStepper", "progress", "rl_progress"):
        assert getattr(course, name) is getattr(widgets, name)
    for name in ("first_difference", "replay", "show_side_by_side", "side_by_side_html"):
        assert getattr(course, name) is getattr(episodes, name)
