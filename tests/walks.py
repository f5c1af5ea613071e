"""Walks through worlds that tests of several files take."""


def play(engine, *commands):
    """The answers to commands that must all be admissible."""
    answers = []
    for command in commands:
        assert command in engine.admissible()
        answers.append(engine.step(command)[0])
    return answers
