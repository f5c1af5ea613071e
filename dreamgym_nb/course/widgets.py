"""The widgets of the lessons: step through an episode, and watch long work.

Only what ipywidgets 7.7 (Colab) and 8 share is used. A widget comes after a static picture of the
same thing (`episodes.side_by_side_html`), because a saved page has no kernel to answer it. Each
callback is a named method, so that a test can call it: an exception inside a callback would leave
the notebook green.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from .episodes import first_difference, side_by_side_html, step_summary

if TYPE_CHECKING:
    from ..experience import Trajectory
    from ..grpo import IterationRecord

# After a click on the slider's bar JupyterLab keeps the focus in the cell, and with it the arrow
# keys (seen in 4.6): they move a slider only while its handle has the focus.
_NEEDS_KERNEL = (
    "The slider and the buttons below work while the notebook is running. The arrow keys move a "
    "slider once its round handle has been clicked, or reached with Tab."
)
_UPDATE_SECONDS = 0.5  # more often than this nobody can read, and each update costs a message


class EpisodeStepper:
    """Steps through a dreamed episode and its real counterpart, one step at a time.

    A slider and three buttons choose the step; a line of text says which step it is and whether
    the two agree; a table shows the step with the states before and after it.

    Args:
        dream: The dreamed episode.
        real: The same actions in the real world, see `episodes.replay`.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        slider: The step, counted from 1.
        previous, next, jump: The buttons.
        status: The line of text.
        page: The table.

    Raises:
        UserError: If the two do not belong together, or have no step at all.
    """

    def __init__(self, dream: Trajectory, real: Trajectory) -> None:
        step_summary(dream, real, 0)  # refuses what cannot be compared
        self.dream, self.real = dream, real
        self._first = first_difference(dream, real)
        steps = max(len(dream.transitions), len(real.transitions))
        self.slider = ipywidgets.IntSlider(value=1, min=1, max=steps, description="Step")
        self.previous = _button("Previous", "Show the step before")
        self.next = _button("Next", "Show the step after")
        self.jump = _button(
            "First difference" if self._first is not None else "No difference",
            "Show the first step at which dream and reality differ",
        )
        self.jump.disabled = self._first is None
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        self.slider.observe(self.on_slide, names="value")
        self.previous.on_click(self.on_previous)
        self.next.on_click(self.on_next)
        self.jump.on_click(self.on_jump)
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        controls = ipywidgets.HBox([self.slider, self.previous, self.next, self.jump], layout=wrap)
        self.widget = ipywidgets.VBox([controls, self.status, self.page])
        self._render()

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_slide(self, change: dict[str, Any] | None = None) -> None:
        """Show the step that the slider points at."""
        self._render()

    def on_previous(self, button: Any = None) -> None:
        """Go one step back, if there is one."""
        self.slider.value = max(self.slider.min, self.slider.value - 1)

    def on_next(self, button: Any = None) -> None:
        """Go one step on, if there is one."""
        self.slider.value = min(self.slider.max, self.slider.value + 1)

    def on_jump(self, button: Any = None) -> None:
        """Go to the first step at which dream and reality differ, if there is one."""
        if self._first is not None:
            self.slider.value = self._first + 1

    def _render(self) -> None:
        # Previous and Next stay enabled at the ends: a button that is disabled while it has the
        # keyboard's focus throws the focus away.
        step = self.slider.value - 1
        summary = escape(step_summary(self.dream, self.real, step))
        self.status.value = f'<div role="status" style="line-height:1.45">{summary}</div>'
        self.page.value = side_by_side_html(self.dream, self.real, step)


def progress(label: str) -> TrainingProgress:
    """Return a callback for training: `progress("experience model")(step, steps, loss)`.

    It fits `prepare(progress=progress)` and the `progress` argument of `training.fit`.
    """
    return TrainingProgress(label)


def counting(label: str, unit: str) -> Callable[[int, int], None]:
    """Return a reporter for work that is only counted: call it with (done, of how many).

    Args:
        label: What the line starts with.
        unit: What is counted, such as "questions".
    """
    line = _ProgressLine(label, unit)
    return lambda done, total: line.update(done, total, "")


def rl_progress(total: int, label: str = "RL in the dream") -> RLProgress:
    """Return a reporter for RL: call it with (iteration, success in the dream, further words).

    For `dream_rl` and `train_grpo` give its method: `on_iteration=rl_progress(30).on_iteration`.

    Args:
        total: How many iterations there will be.
        label: What the line starts with.
    """
    return RLProgress(total, label)


class TrainingProgress:
    """Shows how far training is, in one line that a saved page keeps; see `progress`.

    Args:
        label: What is being trained.
    """

    def __init__(self, label: str) -> None:
        self._line = _ProgressLine(label, "updates")

    def __call__(self, step: int, steps: int, loss: float) -> None:
        """Report an update.

        Args:
            step: How many updates are done.
            steps: How many there will be.
            loss: Of this update.
        """
        self._line.update(step, steps, f"loss {loss:.3g}")


class RLProgress:
    """Shows how far RL is and how often the agent succeeds in its dream; see `rl_progress`."""

    def __init__(self, total: int, label: str) -> None:
        self._total = total
        # Not before there is something to say: what is found on disk is never reported.
        self._line = _ProgressLine(label, "iterations", at_once=False)

    def __call__(self, iteration: int, success_in_dream: float, extra: str = "") -> None:
        """Report an iteration.

        Args:
            iteration: How many are done.
            success_in_dream: Share of its rollouts that succeeded, 0 to 1.
            extra: Further words for the line.
        """
        words = f"success in the dream {success_in_dream:.2f}"
        self._line.update(iteration, self._total, f"{words}, {extra}" if extra else words)

    def on_iteration(self, record: IterationRecord, episodes: Any = None) -> None:
        """Report an iteration as `train_grpo` and `dream_rl` tell it."""
        self(record.iteration, record.success)


class _ProgressLine:
    """One line that is written again and again until the work is done.

    Why not tqdm: we looked at what it leaves in an executed and saved notebook (tqdm 4.70.1, 300
    updates in 3 s). `tqdm.auto` leaves 11 widget models, 9 kB of metadata, and nothing to see in
    the HTML page unless a CDN's scripts load; plain `tqdm` leaves one line for each refresh, on the
    red ground of an error. One output with a `display_id` is replaced in place instead: a bar with
    words while the work goes on and in the end one sentence, which any page and GitHub can show.

    Without a kernel the line goes to the terminal's stderr. Where stderr is a file, only the
    final line is written.
    """

    def __init__(self, label: str, unit: str, at_once: bool = True) -> None:
        self.label, self.unit = label, unit
        self._start = self._shown = time.perf_counter()
        self._first: tuple[int, float] | None = None  # step and time of the first report
        self._handle: Any = None
        if at_once and _in_kernel():
            self._write(f"{label}: starting", 0.0)

    def update(self, done: int, total: int, words: str) -> None:
        """Write how much is done; the last time with the seconds that it took."""
        now = time.perf_counter()
        self._first = self._first or (done, now)
        over = done >= total
        if not over and now - self._shown < _UPDATE_SECONDS:
            return
        self._shown = now
        text = f"{self.label}: {done} of {total} {self.unit}, {words}{', ' if words else ''}"
        text += _seconds(now - self._start) if over else self._remaining(done, total, now)
        self._write(text, None if over else done / total)

    def _remaining(self, done: int, total: int, now: float) -> str:
        """Estimate the time left from the pace since the first report."""
        step, since = self._first or (done, now)
        if done == step:
            return "time left unknown"
        return f"about {_seconds((now - since) / (done - step) * (total - done))} left"

    def _write(self, text: str, share: float | None) -> None:
        # raw: both forms travel together, and a page without HTML still has the sentence
        if self._handle is not None:
            self._handle.update(self._bundle(text, share), raw=True)
            return
        if _in_kernel():
            from IPython.display import display

            self._handle = display(self._bundle(text, share), raw=True, display_id=True)
            return
        end = "\n" if share is None else ""
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", end=end, file=sys.stderr, flush=True)
        elif end:
            print(text, file=sys.stderr)

    def _bundle(self, text: str, share: float | None) -> dict[str, str]:
        """Write the line as text and as HTML; a share of None means that the work is done."""
        bar = (
            ""
            if share is None
            else f'<progress value="{share:.3f}" max="1" aria-label="{escape(self.label)}" '
            'style="width:12em;vertical-align:middle;margin-right:.75em"></progress>'
        )
        return {"text/plain": text, "text/html": f"<div>{bar}{escape(text)}</div>"}


def _button(description: str, tooltip: str) -> ipywidgets.Button:
    layout = ipywidgets.Layout(width="auto")
    return ipywidgets.Button(description=description, tooltip=tooltip, layout=layout)


def _in_kernel() -> bool:
    """Tell whether a Jupyter kernel runs this, so that there is an output to replace."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _seconds(duration: float) -> str:
    """Write a duration: 0.4 s, 82 s, 12 min 5 s."""
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = math.floor(duration + 0.5)
    return f"{whole} s" if whole < 600 else f"{whole // 60} min {whole % 60} s"
