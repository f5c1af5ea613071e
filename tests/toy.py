"""A world of two turns, in which RL is quick to learn and easy to check."""

import numpy as np
import torch

from dreamgym_nb.experience import Task
from dreamgym_nb.prompts import action_text, first_turn, next_turn
from dreamgym_nb.training import Sample, fit
from dreamgym_nb.worlds.vector import Row, VectorWorld

TASKS = [Task("toy", f"train/{i}", f"find a {thing}") for i, thing in enumerate(("mug", "rug"))]
FIRST = ("search[mug]", "search[rug]")
THEN = ("click[red]", "click[blue]", "click[green]")
PAGE = "item b10 casual steel mug $5\ncolor: red blue green\nback to search | < prev | buy now"


class Toy(VectorWorld):
    """Two turns; the first action does nothing, the second is paid by `pays` or runs out of time.

    `pays` gives None where the episode is only cut short.
    """

    source = "dream"

    def __init__(self, num_envs, pays=lambda action: action == "click[red]"):
        super().__init__(num_envs)
        self.pays = pays

    def _begin(self, tasks):
        self.turn = 0
        return [("search page", "search page")] * len(tasks)

    def _advance(self, rows, actions):
        self.turn += 1
        if self.turn == 1:
            return [Row(PAGE, PAGE, 0.0, False, False, a not in FIRST) for a in actions]
        paid = [self.pays(a) for a in actions]
        return [
            Row("you left", "you left", float(r or 0.0), r is not None, r is None, a not in THEN)
            for r, a in zip(paid, actions, strict=True)
        ]


def player_of(untrained):
    """A tiny agent that takes each of the toy's actions about equally often."""
    lm = untrained.copy()
    samples = [
        Sample.of(
            (lm.encode(first_turn(task.instruction, "search page")), False),
            (lm.encode(action_text(first)), True),
            (lm.encode(next_turn(PAGE)), False),
            (lm.encode(action_text(then)), True),
        )
        for task in TASKS
        for first in FIRST
        for then in THEN
    ]
    fit(lm, samples, steps=60, learning_rate=1e-2)
    return lm


def chances(lm):
    """P(then | a first turn), for each of the three actions, by a full pass."""
    start = [
        *lm.encode(first_turn(TASKS[0].instruction, "search page")),
        *lm.encode(action_text(FIRST[0])),
        *lm.encode(next_turn(PAGE)),
    ]
    out = []
    for action in THEN:
        tokens = [*start, *lm.encode(action_text(action))]
        with torch.no_grad():
            table = lm.model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        picked = [table[i - 1, tokens[i]] for i in range(len(start), len(tokens))]
        out.append(float(sum(picked).exp()))
    return np.array(out)
