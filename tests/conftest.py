"""What the tests of the core share: a small shop, a short log of it, a tiny model of its words."""

import sys

import pytest

SEED = 3


def pytest_collection_finish(session):
    """One torch thread: two that fight for a busy core are slower than one."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def shop():
    """A fresh shop; every test may walk in it."""
    from dreamgym_nb.worlds import make_world

    return make_world("shop", seed=SEED)


@pytest.fixture(scope="session")
def log():
    """Sixty episodes of all behaviours in that shop."""
    from dreamgym_nb.worlds import collect_log, make_world

    world = make_world("shop", seed=SEED)
    return collect_log(world, world.tasks("train"), 60, seed=SEED)


@pytest.fixture(scope="session")
def transitions(log):
    """The steps of the log, in order."""
    from dreamgym_nb.experience import transitions_of

    return transitions_of(log)


@pytest.fixture(scope="session")
def texts(log):
    """Everything that models read or write about the log."""
    from dreamgym_nb.backbone import texts_of
    from dreamgym_nb.prompts import Format

    return list(texts_of(log, Format()))


@pytest.fixture(scope="session")
def untrained(texts):
    """A tiny model of the log's words; shared, so never train it: take `lm`."""
    from dreamgym_nb.language_model import LanguageModel

    return LanguageModel.tiny(texts, seed=SEED, width=32, layers=2, heads=4)


@pytest.fixture
def lm(untrained):
    """A copy of the tiny model, the test's own."""
    return untrained.copy()


@pytest.fixture(scope="session")
def actor(untrained, log):
    """A tiny agent that has seen the log: it clicks and searches, some of it in vain.

    Shared, so never train it: take a copy.
    """
    from dreamgym_nb.agent import transcript
    from dreamgym_nb.training import fit

    agent = untrained.copy()
    samples = [transcript(t, agent) for t in log]
    fit(agent, samples, steps=60, learning_rate=1e-2, tokens_per_batch=1024)
    return agent


class Oracle:
    """A stand-in for the experience model that answers from the real shop.

    It replays the history of a question in a shop of its own, so it knows nothing but what the
    question says. A subclass lies by changing `say`.
    """

    def __init__(self):
        from dreamgym_nb.worlds import make_world

        self.world = make_world("shop", seed=SEED)
        tasks = (*self.world.tasks("train"), *self.world.tasks("test"))
        self.tasks = {task.instruction: task for task in tasks}
        self.questions = []

    def imagine(self, questions, temperature=0.0, max_new_tokens=160, generator=None):
        """One answer for each question, as `ExperienceModel.imagine` gives them."""
        from dreamgym_nb.experience_model import Imagined

        self.questions += questions
        return [Imagined(self.say(q, self.truth(q)), (), True) for q in questions]

    def truth(self, question):
        """What the real shop does."""
        from dreamgym_nb.prompts import Outcome

        task = self.tasks[question.instruction]
        self.world.reset(options={"task": task})
        for _, action in question.history:
            self.world.step(action)
        assert self.world.state == question.state, "asked about a state that never was"
        why = self.world.teacher(task, question.state, question.action)
        observation, reward, terminated, *_ = self.world.step(question.action)
        return Outcome(why, observation, reward, terminated)

    def say(self, question, truth):
        """What the model answers."""
        return truth


@pytest.fixture
def oracle():
    """An experience model that is always right."""
    return Oracle()
