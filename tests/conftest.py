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
