"""Hindsight: the same real step, judged as if the task had been another.

What happens does not hang on the task, only what it is worth does.  So a step
that was judged under its own task can be judged under others too, at no real
step (hindsight relabelling, Andrychowicz et al. 2017; the teacher is the
judge).  The experience model then sees one state and one action with both
verdicts, and the memory of that step, which is the same under all tasks, no
longer gives the verdict away: it has to compare what is wanted with what is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dreamgym_nb.experience import Task, Transition
from dreamgym_nb.worlds.base import World

LOOK_AT = 40  # tasks that are considered for one step


def relabel(
    world: World, transitions: Sequence[Transition], share: float, seed: int = 0
) -> list[Transition]:
    """Judged steps under other tasks, as many as `share` times the judged ones.

    Half of them take a task that is worded almost like their own, a near miss
    as a rule; the others a task under which the step succeeds, if one is found.

    Args:
        world: its teacher judges.
        transitions: real ones; the tasks come from them too.
        share: how many for each judged step; the part behind the point by chance.
        seed: which tasks.
    """
    rng = np.random.default_rng([seed, 17])
    tasks = list({t.task.id: t.task for t in transitions}.values())
    alike: dict[tuple[str, ...], list[Task]] = defaultdict(list)
    for task in tasks:
        alike[_beginning(task)].append(task)
    found = []
    for t in transitions:
        if world.verdict(t.task, t.state, t.action) is None:
            continue
        for _ in range(int(share) + int(rng.random() < share % 1)):
            near = alike[_beginning(t.task)] if rng.random() < 0.8 else tasks
            others = [near[int(i)] for i in rng.integers(len(near), size=LOOK_AT)]
            others = [task for task in others if task.instruction != t.task.instruction]
            if not others:
                continue
            if rng.random() < 0.5:
                tried = (_under(world, t, task) for task in others)
                if (success := next((x for x in tried if x.reward), None)) is not None:
                    found.append(success)
                    continue
            own = set(t.task.instruction.split())
            likest = max(others, key=lambda task: len(own & set(task.instruction.split())))
            found.append(_under(world, t, likest))
    return found


def _beginning(task: Task) -> tuple[str, ...]:
    return tuple(task.instruction.split()[:2])


def _under(world: World, t: Transition, task: Task) -> Transition:
    success = bool(world.verdict(task, t.state, t.action))
    return replace(
        t,
        task=task,
        reasoning=world.teacher(task, t.state, t.action),
        reward=float(success),
        terminated=success or world.failing_ends,
    )
