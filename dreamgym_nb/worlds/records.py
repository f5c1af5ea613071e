"""A log that lies there already, as trajectories: what people or scripts left at work.

Such a log has what was said, what was done and how it ended.  Abstract states and reasons
are added here, by the world's own `fold` and `teacher`; no real step is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory, Transition, Turn
from dreamgym_nb.worlds.base import FAILURE, World


class Said(NamedTuple):
    """One step of a record.

    Attributes:
        action: what was done.
        observation: what the environment answered.
        reward: 1.0 on the last step of a success, otherwise 0.0.
        terminated: the episode ended by itself.
    """

    action: str
    observation: str
    reward: float = 0.0
    terminated: bool = False


def trajectory_of(
    world: World,
    task: Task,
    first: str,
    steps: Iterable[Said | tuple],
    *,
    id: str,
    behaviour: str = "record",
) -> Trajectory:
    """A recorded episode as the trajectory that `collect_log` would have written of it.

    Args:
        world: for its `fold`, its `teacher` and its step limit.
        task: what was asked; with the goal, if the teacher reads it.
        first: the first observation.
        steps: what followed.
        id: unique in the log.
        behaviour: who acted.

    Raises:
        UserError: no step, a reward before the end or other than 0 and 1, or steps after it.
    """
    state = start = world.fold("", "", first)
    history: tuple[Turn, ...] = ()
    seen, transitions, over = first, [], False
    for number, given in enumerate(steps, 1):
        step = Said(*given)
        if over:
            raise UserError(f"Record {id!r} goes on after its end, at step {number}.")
        if step.reward not in (0.0, 1.0) or (step.reward and not step.terminated):
            raise UserError(
                f"Step {number} of record {id!r} is paid {step.reward:g}, "
                f"terminated={step.terminated}: a reward is 1 at a successful end and 0 otherwise."
            )
        after = world.fold(state, step.action, step.observation)
        transitions.append(
            Transition(
                task=task,
                history=history,
                state=state,
                action=step.action,
                reasoning=world.teacher(task, state, step.action),
                observation=step.observation,
                next_state=after,
                reward=float(step.reward),
                terminated=step.terminated,
                source="real",
                trajectory=id,
                failed=step.observation.startswith(FAILURE),
            )
        )
        history = (*history, (seen, step.action))
        seen, state, over = step.observation, after, step.terminated
    if not transitions:
        raise UserError(f"Record {id!r} has no step.")
    cut = not over and len(transitions) >= world.max_steps
    return Trajectory(id, task, first, start, tuple(transitions), cut, behaviour)
