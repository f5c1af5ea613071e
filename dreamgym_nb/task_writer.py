"""M_task, the task generator: the network of M_exp with another prompt (Eq. 6).

``τ = M_task({τ^i}_{i≤m})``: some seed tasks in, a variation of them out.  It is trained
together with the experience model, on samples made of the offline log alone: the
target is a real task, the seeds are tasks like it.  So it learns how tasks are worded
and what stays and what changes between two that are alike.

We add one thing to Eq. 6.  From words alone it cannot know what the world has to offer,
and most of what it writes asks for what is not there.  So it also reads the state in
which the seed was solved: what the page, the room there offers can be asked for.

A written task is worded only: it has no goal that a real world could check.  The dream
needs none, because there M_exp judges by the words.  It begins where its seed began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from sklearn.neighbors import NearestNeighbors

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import parse_variation, variation_prompt, variation_target
from dreamgym_nb.seeds import generator_for
from dreamgym_nb.task_words import Likeness
from dreamgym_nb.training import Sample

MAX_TASK_TOKENS = 64
WRITTEN = "gen/"  # how the id of a written task begins

Start = Callable[[Task], str]


# ---- written tasks ------------------------------------------------------------------------------


def written_task(number: int, instruction: str, seeds: Sequence[Task]) -> Task:
    """A written instruction as a task of its world.

    Args:
        number: makes the id.
        instruction: what was written.
        seeds: what it varies; it begins where the first of them begins.
    """
    first = seeds[0]
    goal = {"begins_as": first.goal["begins_as"] if is_written(first) else first.id}
    goal["seeds"] = [s.id for s in seeds]
    return Task(first.world, f"{WRITTEN}{number:05d}", instruction, goal)


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


def relatives(
    instructions: Sequence[str], texts: Sequence[str], starts: Sequence[str], near: int
) -> list[list[int]]:
    """For each task the places of the tasks most like it, the likest first.

    They begin as it begins and are worded otherwise; a task may have none.

    Args:
        instructions: of the tasks.
        texts: what is compared, one for each task.
        starts: how each begins.
        near: how many at most.
    """
    if not instructions:
        return []
    likeness = Likeness(texts)
    together: dict[str, list[int]] = defaultdict(list)
    for i, start in enumerate(starts):
        together[start].append(i)
    found: list[list[int]] = [[] for _ in instructions]
    for places in together.values():
        rows = likeness.rows([texts[i] for i in places])
        # Some more than wanted: those that are worded the same are left out below.
        most = min(len(places), 2 * near + 1)
        index = NearestNeighbors(n_neighbors=most, metric="cosine").fit(rows)
        for i, row in zip(places, index.kneighbors(rows, return_distance=False), strict=True):
            others = (places[j] for j in row)
            found[i] = [j for j in others if instructions[j] != instructions[i]][:near]
    return found


def task_samples(
    lm: LanguageModel,
    log: Sequence[Trajectory],
    n: int,
    m: int = 3,
    seed: int = 0,
    *,
    grounded: bool = True,
) -> list[Sample]:
    """Training samples of M_task: seed tasks in, a real task like them out (Eq. 6).

    A sample is a list of up to m + 1 tasks that were solved in almost the same place: on the
    page of one product, in one household.  Each task of the list but the first is a variation
    of those before it, so all of them count: one text teaches to write from 1 seed, from 2, …,
    from m.  What the tasks ask for is there, where the first was solved.

    Args:
        lm: whose tokens.
        log: the offline log, of training tasks only.
        n: how many samples; the tasks of each are drawn anew.
        m: the most seeds of a variation.
        seed: of what is drawn.
        grounded: whether the text shows where the first task was solved; `TaskWriter` must agree.

    Returns:
        The samples; the tokens of the variations count.

    Raises:
        UserError: no seeds are wanted, or no two tasks of the log are solved and begin alike.
    """
    if m < 1:
        raise UserError(f"A variation needs at least one seed task; m is {m}.")
    solved = list({t.task.id: t for t in log if t.success}.values())
    seen = [t.transitions[-1].state for t in solved]
    instructions = [t.task.instruction for t in solved]
    kin = relatives(instructions, seen, [t.observation for t in solved], m)
    firsts = [i for i, found in enumerate(kin) if found]
    if not firsts:
        raise UserError(
            "The task generator learns from solved tasks that vary each other, and this log of "
            f"{len(log)} episodes has none: collect a longer log, or leave the generator out."
        )
    rng = np.random.default_rng([seed, 21])
    samples = []
    for i in rng.choice(firsts, size=n):
        prompt = variation_prompt([instructions[i]], seen[i] if grounded else "")
        segments = [(lm.encode(prompt), False)]
        for number, j in enumerate(rng.permutation(kin[i])):
            if number:
                segments.append((lm.encode(variation_prompt([], "")), False))
            segments.append((lm.encode(variation_target(instructions[j])), True))
        samples.append(Sample.of(*segments))
    return samples


# ---- writing ------------------------------------------------------------------------------------


class TaskWriter:
    """M_task: writes one variation for each list of seed tasks.

    Args:
        lm: the experience model's network, `ExperienceModel.lm`, trained on `task_samples` too.
        temperature: of the writing: 0 writes one and the same variation again and again, above
            1 there are more that nobody can read.
        seed: of what is sampled.
        grounded: whether it reads where the seed was solved; as it was trained.
    """

    def __init__(
        self, lm: LanguageModel, temperature: float = 0.7, seed: int = 0, grounded: bool = True
    ) -> None:
        self.lm, self.temperature, self.grounded = lm, temperature, grounded
        self.generator = generator_for("task writer", seed, lm.device)

    def __call__(self, asked: Sequence[tuple[Sequence[Task], str]]) -> list[str | None]:
        """One instruction for each (seeds, state where the first was solved).

        The first seed is the one to vary.  None stands for what could not be read; all else
        is as it was written, `task_filter` judges it.
        """
        if not asked:
            return []
        prompts = [
            variation_prompt([t.instruction for t in seeds], seen if self.grounded else "")
            for seeds, seen in asked
        ]
        written = self.lm.generate(
            [self.lm.encode(p) for p in prompts],
            MAX_TASK_TOKENS,
            self.temperature,
            generator=self.generator,
        )
        return [parse_variation(self.lm.decode(g.tokens)) for g in written]
