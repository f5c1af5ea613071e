"""The bounds tried out: what a study of one task says, the record, and the claims made of it."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import SEED, Oracle

from dreamgym_nb import tabular, theory
from dreamgym_nb.experiments import trust
from dreamgym_nb.experiments.report import write_report
from dreamgym_nb.experiments.verdicts import FAILS, HOLDS, NOT_RUN
from dreamgym_nb.prompts import Outcome
from dreamgym_nb.worlds import make_world


class Forgetful(Oracle):
    """Refuses every purchase that was found by one word."""

    def truth(self, question):
        """By the history alone: the search in the state may have been reworded."""
        self.world.reset(options={"task": self.tasks[question.instruction]})
        for _, action in question.history:
            self.world.step(action)
        observation, reward, terminated, *_ = self.world.step(question.action)
        return Outcome("so it is", observation, reward, terminated)

    def say(self, question, truth):
        found = question.state.partition("\nbehind:\nresults for ")[2].split("\n")[0]
        if truth.reward == 1.0 and " " not in found:
            return replace(truth, reward=0.0)
        return truth


@pytest.fixture(scope="module")
def world():
    return make_world("shop", seed=SEED)


@pytest.fixture(scope="module")
def task(world):
    """A task that both searches solve on the first page."""
    for task in world.tasks("test"):
        real = tabular.tabulate(world, task, actions=tabular.shop_actions(1))
        agents = [trust.beginning_with(real, first) for first in trust.AGENTS.values()]
        if min(theory.values(real.table, agent).total for agent in agents) > 0.2:
            return task
    raise AssertionError("no task is that easy")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(trust, "PAGES", 1)
    monkeypatch.setattr(trust, "PAIRS", 40)
    monkeypatch.setattr(trust, "TASKS", 2)


def test_the_truth_costs_nothing_and_teaches_as_reality_does(world, task, small):
    row = trust.study(world, Oracle(), task)
    assert row["wrong"] == {} and row["lemma"] == 0.0 and row["pairs"] > row["states"]
    for agent in row["agents"].values():
        assert agent["real"] == agent["dream"] > 0.2 and agent["charges"] == {}
        assert agent["after_real"] == agent["after_dream"] == agent["practised_really"]
        assert agent["after_real"] > agent["real"] and agent["true"] >= agent["bound"]


def test_the_same_dream_is_true_for_one_shopper_and_false_for_another(world, task, small):
    row = trust.study(world, Forgetful(), task)
    long, short = row["agents"]["all words"], row["agents"]["one word"]
    assert set(row["wrong"]) == {"refuses a success"} and row["epsilon_r"] == 1.0
    right = row["right_purchases"]
    assert right.pop("1")[0] == 0 < row["wrong"]["refuses a success"]
    assert right and all(paid == of > 0 for paid, of in right.values())
    asked = row["reworded"]
    assert len(asked) == row["wrong"]["refuses a success"] and row["elsewhere"] == 0
    assert all(a["paid"] and " " not in a["search"] and a["trace"] for a in asked)
    assert abs(long["dream"] - long["real"]) < 0.05 < 0.2 < short["real"] - short["dream"]
    for agent in (long, short):
        gap = agent["dream"] - agent["real"]
        assert sum(agent["charges"].values()) == pytest.approx(gap)
        # What the dream refuses is a detour to be avoided: practice in it helps all the same.
        assert agent["after_real"] > agent["real"] + 0.1


def test_a_survey_is_counted():
    row = {"gamma": 0.5, "gap": 1.0, "lemma": 2.0, "true": 0.3, "bound": 0.1, "epsilon_p": 0.2}
    rows = [
        row,
        {**row, "gap": 2.5, "bound": -1.0, "true": -0.5},
        {**row, "gamma": 0.9, "bound": 0.4, "epsilon_p": 0.1},
    ]
    found = trust.surveyed(rows)
    assert (found["pairs"], found["lemma_broken"], found["theorem_broken"]) == (3, 1, 1)
    assert (found["promising"], found["improved"]) == (2, 2)
    half = found["by_gamma"]["0.5"]
    assert half == {
        "pairs": 2,
        "promising": 1,
        "largest_epsilon_p": 0.2,
        "closest_lemma": 1.25,
    }
    assert found["by_gamma"]["0.99"]["largest_epsilon_p"] is None


@pytest.fixture
def recorded(tmp_path, world, small, monkeypatch):
    """A folder with a record of two seeds, and the seeds that were prepared for it."""
    asked = []

    def prepare(ctx):
        asked.append(ctx.run.seed)
        return SimpleNamespace(exam=world, prepared=SimpleNamespace(model=Forgetful()))

    monkeypatch.setattr(trust.stages, "prepare", prepare)
    trust.run(tmp_path, seeds=(0, 1))
    return tmp_path, asked


def test_what_is_recorded_is_not_done_again(recorded, monkeypatch):
    folder, asked = recorded
    first = trust.read(folder)
    trust.run(folder, seeds=(0, 1, 2))
    assert asked == [0, 1, 2] and trust.read(folder)["tables"][:4] == first["tables"]
    monkeypatch.setattr(trust.stages, "STAGES", 99)
    trust.run(folder, seeds=(1,))
    assert asked == [0, 1, 2, 1], "another experience model"
    assert [row["seed"] for row in trust.read(folder)["tables"]] == [0, 0, 1, 1, 2, 2]
    monkeypatch.setattr(trust, "SKILL", 0.6)
    trust.run(folder, seeds=(0,))
    assert asked == [0, 1, 2, 1, 0] and len(trust.read(folder)["tables"]) == 2, "sizes changed"


def test_the_pages_tell_what_is_recorded(recorded, tmp_path_factory):
    folder, _ = recorded
    write_report(folder)
    tables, claims = ((folder / name).read_text() for name in ("TABLES.md", "CLAIMS.md"))
    assert "entry by entry" in tables and "| refuses a success |" in tables
    assert "| one word | 4 |" in tables
    refused = trust.turned(trust.read(folder))[1]
    assert refused > 0 and f"the dreams pay {refused} of the {refused} that" in tables
    assert re.search(r"\| 1 \| \d+ \| 0% \|\n\| [23] \| \d+ \| 100% \|", tables)
    assert "(Lemma 1) | – |" in claims and "broken by 0 of 40 random tables" in claims
    empty = tmp_path_factory.mktemp("empty")
    write_report(empty)
    assert "entry by entry" not in (empty / "TABLES.md").read_text()
    assert "python -m dreamgym_nb.experiments.trust" in (empty / "CLAIMS.md").read_text()


def test_a_broken_bound_is_said(recorded):
    folder, _ = recorded
    told = trust.read(folder)
    assert [c.test(None, ()).verdict for c in trust.claims_of(told)] == [HOLDS, HOLDS]
    told["tables"][0]["lemma"] = 0.0
    told["tables"][0]["agents"]["one word"]["dream"] += 1.0
    told["survey"]["theorem_broken"] = 1
    assert [c.test(None, ()).verdict for c in trust.claims_of(told)] == [FAILS, FAILS]
    assert {c.test(None, ()).verdict for c in trust.claims_of({})} == {NOT_RUN}


def test_the_shipped_record_is_of_these_sizes():
    told = trust.read()
    assert told["schema"] == trust.SCHEMA
    assert told["sizes"] == {name: getattr(trust, name) for name in told["sizes"]}
    assert {t["seed"] for t in told["tables"]} == set(range(5))
    assert json.dumps(told["survey"]["by_gamma"])
