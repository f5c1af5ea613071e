"""M_task, the task generator: the network of M_exp with another prompt (Eq. 6).

``τ = M_task({τ^i}_{i≤m})``: some seed tasks in, a variation of them out.  It is trained
together with the experience model, on samples made of the training tasks alone: the
target is a real task, the seeds are tasks like it.  So it learns how tasks are worded
and what stays and what changes between two that are alike.

A written task is worded only: it has no goal that a real world could check.  The dream
needs none, because there M_exp judges by the words.  It begins where its seed began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import parse_variation, variation_prompt, variation_target
from dreamgym_nb.task_words import Likeness
from dreamgym_nb.training import Sample

NEAR = 8  # of how many tasks like it the seeds of a target are drawn
MAX_TASK_TOKENS = 64
WRITTEN = "gen/"  # how the id of a written task begins

Start = Callable[[Task], str]


# ---- written tasks ------------------------------------------------------------------------------


def written_task(number: int, instruction: str, seeds: Sequence[Task]) -> Task:
    """A written instruction as a task of its world.

    Args:
        number: makes the id.
        instruction: what was written.
        seeds: what it varies; it begins where the last of them begins.
    """
    last = seeds[-1]
    goal = {"begins_as": last.goal["begins_as"] if is_written(last) else last.id}
    goal["seeds"] = [s.id for s in seeds]
    return Task(last.world, f"{WRITTEN}{number:05d}", instruction, goal)


def is_written(task: Task) -> bool:
    """Whether a task was written by M_task; no real world knows it."""
    return task.id.startswith(WRITTEN)


def begin_as_seed(start: Start) -> Start:
    """How episodes begin, for written tasks too: as those of the seed begin.

    Args:
        start: the same for the world's own tasks, see `dream.start_from`.
    """

    def begin(task: Task) -> str:
        return start(replace(task, id=task.goal["begins_as"]) if is_written(task) else task)

    return begin


# ---- learning -----------------------------------------------------------------------------------


def relatives(tasks: Sequence[Task], start: Start, near: int = NEAR) -> list[list[int]]:
    """For each task the places of the tasks most like it, the likest first.

    They begin as it begins and are worded otherwise; a task may have none.

    Args:
        tasks: the tasks.
        start: first observation of a task.
        near: how many at most.
    """
    likeness = Likeness([t.instruction for t in tasks])
    together: dict[str, list[int]] = defaultdict(list)
    for i, task in enumerate(tasks):
        together[start(task)].append(i)
    found: list[list[int]] = [[] for _ in tasks]
    for places in together.values():
        rows = likeness.rows([tasks[i].instruction for i in places])
        # Some more than wanted: those that are worded the same are left out below.
        most = min(len(places), 2 * near + 1)
        index = NearestNeighbors(n_neighbors=most, metric="cosine").fit(rows)
        for i, row in zip(places, index.kneighbors(rows, return_distance=False), strict=True):
            others = (places[j] for j in row)
            found[i] = [j for j in others if tasks[j].instruction != tasks[i].instruction][:near]
    return found


def task_samples(
    lm: LanguageModel,
    tasks: Sequence[Task],
    start: Start,
    n: int,
    m: int = 2,
    seed: int = 0,
    near: int = NEAR,
) -> list[Sample]:
    """Training samples of M_task: seed tasks in, a real task like them out (Eq. 6).

    Args:
        lm: whose tokens.
        tasks: the training tasks; no other may ever be given.
        start: first observation of a task, see `dream.start_from`.
        n: how many samples; targets and seeds are drawn anew for each.
        m: the most seeds of one; a sample has 1 to m of them.
        seed: of what is drawn.
        near: of how many tasks like the target its seeds are drawn.

    Returns:
        The samples; the target's tokens count, the prompt's do not.

    Raises:
        UserError: no seeds are wanted, or no two tasks begin alike.
    """
    if m < 1:
        raise UserError(f"A variation needs at least one seed task; m is {m}.")
    kin = relatives(tasks, start, near) if tasks else []
    targets = [i for i, found in enumerate(kin) if found]
    if not targets:
        raise UserError(
            "The task generator learns from tasks that vary each other, and no two of these "
            f"{len(tasks)} begin alike: give more training tasks, or leave it out."
        )
    rng = np.random.default_rng([seed, 21])
    samples = []
    for i in rng.choice(targets, size=n):
        many = min(int(rng.integers(1, m + 1)), len(kin[i]))
        drawn = sorted(rng.choice(len(kin[i]), size=many, replace=False), reverse=True)
        seeds = [tasks[kin[i][j]].instruction for j in drawn]  # the likest last
        samples.append(
            Sample.of(
                (lm.encode(variation_prompt(seeds, start(tasks[i]))), False),
                (lm.encode(variation_target(tasks[i].instruction)), True),
            )
        )
    return samples


# ---- writing ------------------------------------------------------------------------------------


class TaskWriter:
    """M_task: writes one variation for each list of seed tasks.

    Args:
        lm: the experience model's network, `ExperienceModel.lm`, trained on `task_samples` too.
        start: first observation of a task, see `dream.start_from`.
        temperature: of the writing: 0 writes one and the same variation again and again, above
            1 there are more that nobody can read.
        seed: of what is sampled.
    """

    def __init__(
        self, lm: LanguageModel, start: Start, temperature: float = 1.0, seed: int = 0
    ) -> None:
        self.lm, self.start, self.temperature = lm, begin_as_seed(start), temperature
        self.generator = torch.Generator(device=lm.device).manual_seed(seed)

    def __call__(self, seeds: Sequence[Sequence[Task]]) -> list[str | None]:
        """One instruction for each list of seeds, the one to vary last; None if unreadable.

        The instruction is as it was written: `task_filter` judges it.
        """
        if not seeds:
            return []
        prompts = [
            variation_prompt([t.instruction for t in some], self.start(some[-1])) for some in seeds
        ]
        written = self.lm.generate(
            [self.lm.encode(p) for p in prompts],
            MAX_TASK_TOKENS,
            self.temperature,
            generator=self.generator,
        )
        return [parse_variation(self.lm.decode(g.tokens)) for g in written]
