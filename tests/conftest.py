"""What tests of several files share: a small shop, its log, a tiny model of it, real data."""

import os
import sys
from pathlib import Path

import pytest

SEED = 3

# So that an assert in there says as much as one in a test file.
pytest.register_assert_rewrite("walks")


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


@pytest.fixture(scope="session")
def player(untrained):
    """A tiny agent of the toy world; shared, so never train it: take `agent`."""
    from toy import player_of

    return player_of(untrained)


@pytest.fixture
def agent(player):
    """A copy of the toy world's agent, the test's own."""
    return player.copy()


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


@pytest.fixture(scope="module")
def web():
    """The web world; every test starts an episode of its own in it."""
    from dreamgym_nb.worlds.web import Web

    return Web(seed=0)


def data_with(benchmark, how):
    """The folder with the real benchmarks' files; skips, saying how to get them, without them."""
    folder = os.environ.get("DREAMGYM_DATA")
    if not folder or not Path(folder, benchmark).is_dir():
        pytest.skip(how)
    return Path(folder)


@pytest.fixture(scope="module")
def alfworld_data():
    """The folder with the real benchmarks' files, ALFWorld's among them."""
    return data_with(
        "alfworld",
        "ALFWorld's games are not here: set DREAMGYM_DATA to the folder that holds "
        "alfworld/ and golden/ (upstream's own: pip install alfworld; alfworld-download).",
    )


@pytest.fixture(scope="module")
def packed(alfworld_data):
    """ALFWorld's packed games of train and valid_seen."""
    from dreamgym_nb.worlds.alfred_games import load_games

    return {
        s: load_games(alfworld_data / f"alfworld/{s}.jsonl.xz") for s in ("train", "valid_seen")
    }


@pytest.fixture(scope="module")
def webshop_data():
    """The folder with the real benchmarks' files, WebShop's among them."""
    return data_with(
        "webshop",
        "WebShop's data is not here: set DREAMGYM_DATA to a folder that holds it in webshop/ "
        "(upstream's own: ./setup.sh -d small of princeton-nlp/WebShop).",
    )
