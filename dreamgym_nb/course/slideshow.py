"""A widget that goes through the iterations of one run or another; what it shows, others say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Generic, TypeVar

import ipywidgets

from ..errors import UserError
from .widgets import _NEEDS_KERNEL, _button

T = TypeVar("T")


class Slideshow(Generic[T]):
    """Goes through the iterations of one run or another. `told` says what is shown.

    Args:
        runs: What a run is called, to its iterations.
        more: Controls that stand beside those for run and iteration.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        run: Which run.
        slider: The iteration, counted from 1.
        previous, next: The buttons.
        status: The line of text.
        page: The picture.

    Raises:
        UserError: There is no run, or one without iterations.
    """

    def __init__(
        self, runs: Mapping[str, Sequence[T]], more: Sequence[ipywidgets.Widget] = ()
    ) -> None:
        if not runs or not all(runs.values()):
            raise UserError("There must be a run, and in each run an iteration: train first.")
        self.runs = {name: list(iterations) for name, iterations in runs.items()}
        self.run = ipywidgets.Dropdown(options=list(self.runs), description="Run")
        self.slider = ipywidgets.IntSlider(value=1, min=1, max=1, description="Iteration")
        self.previous = _button("Previous", "Show the iteration before")
        self.next = _button("Next", "Show the next iteration")
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        self.run.observe(self.on_run, names="value")
        self.slider.observe(self.on_change, names="value")
        for control in more:
            control.observe(self.on_change, names="value")
        self.previous.on_click(self.on_previous)
        self.next.on_click(self.on_next)
        parts = [self.run, self.slider, self.previous, self.next, *more]
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        controls = ipywidgets.HBox(parts, layout=wrap)
        self.widget = ipywidgets.VBox([controls, self.status, self.page])
        self.on_run()

    def told(self, iterations: list[T], at: int) -> tuple[str, str]:
        """What is shown of an iteration: a line of text, and a picture as HTML.

        Args:
            iterations: Of the chosen run.
            at: Which, from 0.
        """
        raise NotImplementedError("A slideshow must say what it shows.")

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_run(self, change: dict[str, Any] | None = None) -> None:
        """Go to the first iteration of the chosen run."""
        self.slider.value = 1
        self.slider.max = len(self.runs[self.run.value])
        self.on_change()

    def on_change(self, change: dict[str, Any] | None = None) -> None:
        """Show the iteration that the slider points at."""
        line, picture = self.told(self.runs[self.run.value], self.slider.value - 1)
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(line)}</div>'
        self.page.value = picture

    def on_previous(self, button: Any = None) -> None:
        """Go one iteration back, if there is one."""
        self.slider.value = max(self.slider.min, self.slider.value - 1)

    def on_next(self, button: Any = None) -> None:
        """Go one iteration on, if there is one."""
        self.slider.value = min(self.slider.max, self.slider.value + 1)
