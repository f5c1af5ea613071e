"""Walks through worlds that tests of several files take."""


def play(engine, *commands):
    """The answers to commands that must all be admissible."""
    answers = []
    for command in commands:
        assert command in engine.admissible()
        answers.append(engine.step(command)[0])
    return answers


def walk(world, *actions):
    """Start the first training task, do the actions, return the last answer."""
    world.reset(options={"task": world.tasks("train")[0]})
    for action in actions:
        answer = world.step(action)
    return answer
