"""The widget to be the experience model: what comes next? Scored against the truth and the model.

A `Riddle` is one held-out transition: the question as the model reads it (Eq. 4), some pages that
could come next, and the model's own answer. One point for the page, one for saying whether the
episode ends and pays. Only what ipywidgets 7.7 (Colab) and 8 share is used; each callback is a
named method with a test, because an exception inside a callback leaves a notebook green.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from ..errors import UserError
from ..fidelity import kind_of
from ..worlds.base import FAILURE
from .views import pre
from .widgets import _button

if TYPE_CHECKING:
    from ..experience import Transition
    from ..experience_model import ExperienceModel, Imagined

LETTERS = "ABCD"
GOES_ON, FAILS, SUCCEEDS = "it goes on", "it ends, reward 0", "it ends, reward 1"
ENDS = (GOES_ON, FAILS, SUCCEEDS)
_NEEDS_KERNEL = "The buttons below work while the notebook is running."
_SIDE = "display:flex;flex-wrap:wrap;gap:1em;margin:.5em 0;max-width:75em"


@dataclass(frozen=True)
class Riddle:
    """One transition to foretell.

    Attributes:
        truth: What really happened.
        imagined: What the experience model says, and the memories that it had.
        options: Pages to choose from, in an order that tells nothing; the true one among them.
    """

    truth: Transition
    imagined: Imagined
    options: tuple[str, ...]

    def points(self, page: str, ending: str) -> tuple[int, int]:
        """Points for the page and for the ending, 0 or 1 each."""
        return int(page == self.truth.observation), int(ending == self.true_ending)

    @property
    def true_ending(self) -> str:
        """Which of `ENDS` came true."""
        return ending_of(self.truth.reward, self.truth.terminated)

    @property
    def model_points(self) -> tuple[int, int]:
        """What the experience model's own answer is worth."""
        told = self.imagined.outcome
        return self.points(told.observation, ending_of(told.reward, told.terminated))


def ending_of(reward: float, terminated: bool) -> str:
    """Which of `ENDS` a reward and an end are."""
    return (SUCCEEDS if reward > 0 else FAILS) if terminated else GOES_ON


def riddles(
    model: ExperienceModel, transitions: Sequence[Transition], n: int, seed: int = 0
) -> list[Riddle]:
    """Choose transitions of as many kinds as there are, and ask the model about them.

    Args:
        model: The experience model; it answers greedily.
        transitions: Real ones that it was not trained on.
        n: How many.
        seed: Of the choice and of the order of the options.

    Raises:
        UserError: If there are fewer transitions than riddles.
    """
    from ..experience_model import Question

    if not 1 <= n <= len(transitions):
        raise UserError(f"There are {len(transitions)} transitions: ask for 1 to as many riddles.")
    rng = np.random.default_rng(seed)
    kinds: dict[str, list[Transition]] = {}
    for i in rng.permutation(len(transitions)):
        kinds.setdefault(kind_of(transitions[i]), []).append(transitions[i])
    chosen: list[Transition] = []
    while len(chosen) < n:
        for some in kinds.values():
            if some and len(chosen) < n:
                chosen.append(some.pop())
    asked = [Question(t.task.instruction, t.history, t.state, t.action) for t in chosen]
    return [
        Riddle(t, imagined, _options(t, imagined, transitions, rng))
        for t, imagined in zip(chosen, model.imagine(asked), strict=True)
    ]


def _options(
    truth: Transition, imagined: Imagined, others: Sequence[Transition], rng: np.random.Generator
) -> tuple[str, ...]:
    """The true page, the model's, the memory's, a failure, and pages like it; four at most."""
    alike = [t.observation for t in others if kind_of(t) == kind_of(truth)]
    rng.shuffle(alike)
    pages = [truth.observation, imagined.outcome.observation]
    pages += [memory.observation for memory, _ in imagined.memories]
    pages += [f"{FAILURE} that is not on this page", *alike]
    taken = list(dict.fromkeys(pages))[: len(LETTERS)]
    rng.shuffle(taken)
    return tuple(taken)


# ---- pictures ----------------------------------------------------------------------------------


def question_html(riddle: Riddle) -> str:
    """Return what the model reads: task, earlier actions, memory, state and action."""
    t = riddle.truth
    before = " → ".join(action for _, action in t.history) or "(nothing yet)"
    recalled = "\n".join(f"{m.action} gave\n{m.observation}" for m, _ in riddle.imagined.memories)
    boxes = {"State": t.state, "Memory: the most similar past step": recalled or "(none)"}
    return (
        f"<div><strong>Task:</strong> {escape(t.task.instruction)}</div>"
        f"<div><strong>Done before:</strong> {escape(before)}</div>"
        f"{_beside(boxes)}<div><strong>Action:</strong> <code>{escape(t.action)}</code></div>"
    )


def options_html(riddle: Riddle) -> str:
    """Return the pages to choose from, each under its letter."""
    return _beside(dict(zip(LETTERS, riddle.options, strict=False)))


def answer_html(riddle: Riddle) -> str:
    """Return what came true beside what the model said, each with its ending."""
    told = riddle.imagined.outcome
    return _beside(
        {
            f"What happened: {riddle.true_ending}": riddle.truth.observation,
            f"What the model said: {ending_of(told.reward, told.terminated)}": told.observation,
            "The model's reasoning": told.reasoning or "(none)",
        }
    )


def _beside(texts: dict[str, str]) -> str:
    """Texts in boxes, side by side where there is room."""
    boxes = "".join(
        f'<div style="flex:1 1 15em;min-width:0"><div><strong>{escape(name)}</strong></div>'
        f"{pre(text, name)}</div>"
        for name, text in texts.items()
    )
    return f'<div style="{_SIDE}">{boxes}</div>'


def show_riddle(riddle: Riddle) -> None:
    """Display a riddle with its answer: the static picture of the widget."""
    from IPython.display import HTML, display

    display(HTML(question_html(riddle) + answer_html(riddle)))


# ---- the widget ----------------------------------------------------------------------------------


class BeTheModel:
    """Lets a person foretell transitions, and keeps the score beside the model's.

    Args:
        asked: The riddles, see `riddles`.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        page, ending: What the person says.
        say, following: The buttons.
        mine, models: The points so far, of the person and of the model.
        question, choices, answer, status: The texts.

    Raises:
        UserError: If there is no riddle.
    """

    def __init__(self, asked: Sequence[Riddle]) -> None:
        if not asked:
            raise UserError("Give BeTheModel at least one riddle: riddles(model, transitions, 5).")
        self.riddles = list(asked)
        self.number = self.mine = self.models = self.answered = 0
        self.question, self.choices, self.answer, self.status = (
            ipywidgets.HTML() for _ in range(4)
        )
        self.page = ipywidgets.ToggleButtons(options=["A"], description="Page")
        self.ending = ipywidgets.ToggleButtons(options=list(ENDS), description="And then")
        self.say = _button("Say so", "Compare your answer with the truth and the model's")
        self.following = _button("Next riddle", "Go to the next riddle")
        self.say.on_click(self.on_say)
        self.following.on_click(self.on_next)
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.widget = ipywidgets.VBox(
            [
                self.question,
                self.choices,
                self.page,
                self.ending,
                ipywidgets.HBox([self.say, self.following], layout=row),
                self.status,
                self.answer,
            ]
        )
        self._ask()

    @property
    def riddle(self) -> Riddle:
        """The present one."""
        return self.riddles[self.number]

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_say(self, button: Any = None) -> None:
        """Score the answer; a second one to the same riddle does not count."""
        if self._said:
            self._tell("You have answered this one: go to the next.")
            return
        self._said = True
        chosen = self.riddle.options[LETTERS.index(self.page.value)]
        page, ending = self.riddle.points(chosen, self.ending.value)
        self.answered += 1
        self.mine += page + ending
        self.models += sum(self.riddle.model_points)
        right = LETTERS[self.riddle.options.index(self.riddle.truth.observation)]
        verdict = "the page is right" if page else f"the page was {right}"
        verdict += "; " + ("so is the end" if ending else f"and {self.riddle.true_ending}")
        self.answer.value = answer_html(self.riddle)
        self._tell(f"{verdict[0].upper()}{verdict[1:]}.")

    def on_next(self, button: Any = None) -> None:
        """Go to the next riddle; after the last the first one comes again, and the score is new."""
        self.number += 1
        if self.number == len(self.riddles):
            self.number = self.mine = self.models = self.answered = 0
        self._ask()

    def _ask(self) -> None:
        self._said = False
        self.question.value = question_html(self.riddle)
        self.choices.value = options_html(self.riddle)
        self.page.options = list(LETTERS[: len(self.riddle.options)])
        self.page.value, self.ending.value = "A", GOES_ON
        self.answer.value = ""
        self._tell("Which page comes next, and what then?")

    def _tell(self, words: str) -> None:
        """Write the line under the buttons: where we are, what was said, the score."""
        most = 2 * self.answered
        score = f"You {self.mine} of {most} points, the model {self.models} of {most}."
        line = f"Riddle {self.number + 1} of {len(self.riddles)}. {words} {score}"
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(line)}</div>'
