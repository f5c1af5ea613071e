"""The memory inspector: what was retrieved for a step, how similar it is, and what changes without.

For one held-out step it shows the k most similar memories, each with its cosine, and what the
experience model says with them. The best ones can be taken away one after the other: then it shows
what the model says without them, and whether the answer changed. Only what ipywidgets 7.7 (Colab)
and 8 share is used; each callback is a named method with a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import UserError
from ..prompts import experience_prompt, parse_target
from .views import pre
from .widgets import _button

if TYPE_CHECKING:
    from ..experience import Transition
    from ..experience_model import ExperienceModel
    from ..prompts import Outcome

_NEEDS_KERNEL = "The slider and the buttons below work while the notebook is running."
_SIDE = "display:flex;flex-wrap:wrap;gap:1em;margin:.5em 0;max-width:75em"
MOST = 4
"""How many memories are looked at."""


@dataclass(frozen=True)
class Look:
    """What the model makes of a step with some of its memories.

    Attributes:
        truth: What really happened.
        memories: What was retrieved, best first, with the cosine.
        without: How many of the best ones were taken away.
        outcome: The model's answer with the next best one; None where it was unreadable.
    """

    truth: Transition
    memories: tuple[tuple[Transition, float], ...]
    without: int
    outcome: Outcome | None

    @property
    def right(self) -> bool:
        """Whether the page is right to the word."""
        return self.outcome is not None and self.outcome.observation == self.truth.observation


def look(model: ExperienceModel, truth: Transition, without: int = 0) -> Look:
    """Ask the model about a step, greedily, with its best memories taken away.

    Args:
        model: The experience model; as many memories as its format has stand in the prompt.
        truth: A step that it was not trained on.
        without: How many of the best memories are left out of the prompt.

    Raises:
        UserError: If more are taken away than are looked at.
    """
    if not 0 <= without <= MOST:
        raise UserError(f"0 to {MOST} of the best memories can be taken away, not {without}.")
    [found] = model.buffer.retrieve(
        [(truth.state, truth.action)], MOST + model.format.memories, [truth.trajectory]
    )
    kept = [m for m, _ in found[without:]][: model.format.memories]
    prompt = experience_prompt(
        truth.task.instruction, truth.history, truth.state, truth.action, kept, model.format
    )
    [written] = model.lm.generate([model.lm.encode(prompt)], 160)
    outcome = parse_target(model.lm.decode(written.tokens))
    return Look(truth, tuple(found[:MOST]), without, outcome)


def look_html(seen: Look) -> str:
    """Return the step, its memories with their cosine, and what the model says beside the truth."""
    t = seen.truth
    boxes = {}
    for n, (memory, cosine) in enumerate(seen.memories):
        taken = "taken away: " if n < seen.without else ""
        name = f"{taken}memory {n + 1}, cosine {cosine:.2f}"
        boxes[name] = f"{memory.action} gave\n{memory.observation}"
    said = "(unreadable)" if seen.outcome is None else seen.outcome.observation
    verdict = "= right" if seen.right else "≠ wrong"
    answers = {
        f"The model, without the best {seen.without}: {verdict}"
        if seen.without
        else f"The model: {verdict}": said,
        "What happened": t.observation,
        "State": t.state,
    }
    return (
        f"<div><strong>Task:</strong> {escape(t.task.instruction)}</div>"
        f"<div><strong>Action:</strong> <code>{escape(t.action)}</code></div>"
        f"{_beside(boxes)}{_beside(answers)}"
    )


def _beside(texts: dict[str, str]) -> str:
    boxes = "".join(
        f'<div style="flex:1 1 14em;min-width:0"><div><strong>{escape(name)}</strong></div>'
        f"{pre(text, name)}</div>"
        for name, text in texts.items()
    )
    return f'<div style="{_SIDE}">{boxes}</div>'


def show_look(seen: Look) -> None:
    """Display `look_html`: the static picture of the widget."""
    from IPython.display import HTML, display

    display(HTML(look_html(seen)))


class MemoryInspector:
    """Goes through steps, and takes memories away.

    Args:
        model: The experience model.
        steps: Steps that it was not trained on.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        slider: Which step, counted from 1.
        take, back: Take the best remaining memory away; put all back.
        status, page: The texts.
        seen: What is shown now.

    Raises:
        UserError: If there is no step.
    """

    def __init__(self, model: ExperienceModel, steps: Sequence[Transition]) -> None:
        if not steps:
            raise UserError("Give MemoryInspector at least one held-out step.")
        self._model, self._steps = model, list(steps)
        self._looks: dict[tuple[int, int], Look] = {}
        self._without = 0
        self.slider = ipywidgets.IntSlider(value=1, min=1, max=len(steps), description="Step")
        self.take = _button("Take the best away", "Leave the best memory out of the prompt")
        self.back = _button("Put all back", "Ask with all memories again")
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        self.slider.observe(self.on_slide, names="value")
        self.take.on_click(self.on_take)
        self.back.on_click(self.on_back)
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        controls = ipywidgets.HBox([self.slider, self.take, self.back], layout=row)
        self.widget = ipywidgets.VBox([controls, self.status, self.page])
        self._render()

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_slide(self, change: dict[str, Any] | None = None) -> None:
        """Show the step that the slider points at, with all its memories."""
        self._without = 0
        self._render()

    def on_take(self, button: Any = None) -> None:
        """Take the best remaining memory away, if one is left."""
        self._without = min(MOST, self._without + 1)
        self._render()

    def on_back(self, button: Any = None) -> None:
        """Put all memories back."""
        self._without = 0
        self._render()

    def _look(self, without: int) -> Look:
        at = (self.slider.value - 1, without)
        if at not in self._looks:
            self._looks[at] = look(self._model, self._steps[at[0]], without)
        return self._looks[at]

    def _render(self) -> None:
        self.seen = self._look(self._without)
        line = f"Step {self.slider.value} of {len(self._steps)}: "
        line += "the page is right." if self.seen.right else "the page is wrong."
        if self._without:
            before = self._look(0).outcome
            changed = (before and before.observation) != (
                self.seen.outcome and self.seen.outcome.observation
            )
            line += f" Without the best {self._without} the answer "
            line += "is another one." if changed else "stays the same."
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(line)}</div>'
        self.page.value = look_html(self.seen)
