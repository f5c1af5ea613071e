"""Tasks of the web world, found by what they ask for, and walks through them."""

from collections import defaultdict


def everything(world):
    return [*world.tasks("train"), *world.tasks("test")]


def by_template(world):
    """Return the tasks of each template."""
    found = defaultdict(list)
    for task in everything(world):
        found[task.goal["template"]].append(task)
    return found


def task_like(world, start):
    """Return the first task whose instruction starts so."""
    return next(t for t in everything(world) if t.instruction.startswith(start))


def walk(world, task, *actions):
    """Start a task, do the actions, return the last answer."""
    world.reset(options={"task": task})
    for action in actions:
        answer = world.step(action)
    return answer
