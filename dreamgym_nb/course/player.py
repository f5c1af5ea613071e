"""The widget to play any world as the agent.

Only what ipywidgets 7.7 (Colab) and 8 share is used, and everything can be done with the keyboard:
Tab goes from part to part, Space presses a button, and the text box takes the number of an action.
The number is needed because JupyterLab keeps the arrow keys for itself: in a list they would go to
the next cell (seen in 4.6). For the same reason worlds and views are rows of buttons.

Each callback is a named method with a test of its own, because an exception inside a callback
leaves a notebook green. `views.episode_html` is the picture for a page without a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import UserError
from ..play import Session, blanks
from .views import pre
from .widgets import _button

if TYPE_CHECKING:
    from ..worlds import World

_NEEDS_KERNEL = "The widget below works while the notebook is running."
OBSERVATION, STATE, RAW, PAST = "Observation", "Abstract state", "Raw", "What you did"
VIEWS = (OBSERVATION, STATE, RAW, PAST)


class WorldPlayer:
    """Lets a person act in a world, with what an agent sees and may do.

    The list holds the actions that work now, numbered. The chosen one is copied into the text box,
    where it can be changed into anything; the button does what the box says, an action or a number.

    Args:
        worlds: The worlds to choose from; the first is played at once.
        seed: For the choice of tasks.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        session: The episode, see `play.Session`.
        world: Chooses the world.
        actions: The list of the actions that work now.
        text: The action to do.
        do, expert, another: The buttons.
        view: Chooses what is shown.
        status, task, page: The texts.

    Raises:
        UserError: If there is no world, or two have the same name.
    """

    def __init__(self, worlds: Sequence[World], seed: int = 0) -> None:
        self._worlds = {world.name: world for world in worlds}
        if not worlds or len(self._worlds) < len(worlds):
            raise UserError("Give WorldPlayer at least one world, and no two of the same name.")
        self._seed = seed
        wide = ipywidgets.Layout(width="98%", max_width="64em")
        self.world = ipywidgets.ToggleButtons(options=list(self._worlds), description="World")
        self.actions = ipywidgets.Select(options=[], rows=6, description="Actions", layout=wide)
        self.text = ipywidgets.Text(description="Do this", layout=wide)
        self.do = _button("Do it", "Take a real step with the action in the text box")
        self.expert = _button("Ask the expert", "Write what an expert would do into the text box")
        self.another = _button("Another task", "Start an episode of another task")
        self.view = ipywidgets.ToggleButtons(options=list(VIEWS), description="Show")
        self.task, self.status, self.page = (ipywidgets.HTML() for _ in range(3))
        self._start()
        self.world.observe(self.on_world, names="value")
        self.actions.observe(self.on_choose, names="value")
        self.view.observe(self.on_view, names="value")
        self.do.on_click(self.on_do)
        self.expert.on_click(self.on_expert)
        self.another.on_click(self.on_another)
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="flex-end")
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.world, self.another], layout=row),
                self.task,
                self.view,
                self.page,
                self.actions,
                self.text,
                ipywidgets.HBox([self.do, self.expert], layout=row),
                self.status,
            ]
        )

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    # ---- what the parts do ---------------------------------------------------------------

    def on_world(self, change: dict[str, Any] | None = None) -> None:
        """Start an episode in the world that was chosen."""
        self._start()

    def on_another(self, button: Any = None) -> None:
        """Start an episode of another task."""
        self.session.start()
        self._render()

    def on_choose(self, change: dict[str, Any] | None = None) -> None:
        """Copy the chosen action into the text box."""
        if self.actions.value is not None:
            self.text.value = self.actions.value
            self._say()

    def on_expert(self, button: Any = None) -> None:
        """Write what an expert would do into the text box; nothing is done yet."""
        try:
            self.text.value = self.session.expert()
        except UserError as error:
            self._say(str(error))
        else:
            self._say("The expert would do this.")

    def on_do(self, button: Any = None) -> None:
        """Take the step in the text box; a world answers every action, also an impossible one.

        A number stands for the action in the list. Where that has something to be filled in, it is
        written into the box instead.
        """
        try:
            if self.text.value.strip().isdecimal():
                self.text.value = self.session.numbered(self.text.value)
            self.session.do(self.text.value)
        except UserError as error:
            self._say(str(error))
        else:
            self._render()

    def on_view(self, change: dict[str, Any] | None = None) -> None:
        """Show the page in the chosen way."""
        self._draw()

    # ---- drawing -------------------------------------------------------------------------

    def _start(self) -> None:
        self.session = Session(self._worlds[self.world.value], seed=self._seed)
        self._render()

    def _render(self) -> None:
        """Show the present moment: the task, the page, what may be done, the bill."""
        self.task.value = f"<strong>Task:</strong> {escape(self.session.world.task.instruction)}"
        choices = list(self.session.info["admissible_actions"])
        self.actions.options = [(f"{n}  {action}", action) for n, action in enumerate(choices, 1)]
        self.actions.value = choices[0] if choices else None
        self.text.value = choices[0] if choices else ""
        self._draw()
        self._say()

    def _draw(self) -> None:
        self.page.value = pre(self._shown(), self.view.value)

    def _shown(self) -> str:
        world = self.session.world
        if self.view.value == PAST:
            return (
                "\n".join(f"{m.action} → {m.observation}" for m in self.session.moves)
                or "(nothing yet)"
            )
        return {
            OBSERVATION: world.observation,
            STATE: world.state,
            RAW: self.session.info["raw"],
        }[self.view.value]

    def _say(self, words: str = "") -> None:
        """Write the line under the buttons: how it stands, and what is to be done."""
        session = self.session
        said = [f"{session.count}."]
        if words:
            said.append(words)
        elif session.over:
            said.append(f"{session.outcome} Press “{self.another.description}”.")
        else:
            if session.moves and session.moves[-1].failed:
                said.append("Nothing happened, and the step is counted.")
            said += [f"Write something of your own for {b!r}." for b in blanks(self.text.value)]
        line = " ".join(said)
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(line)}</div>'
