"""Fidelity tells a right model from one that flatters and from one that does nothing."""

import dataclasses
import math

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.fidelity import compare, kind_of, measure
from dreamgym_nb.prompts import Outcome
from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.base import FAILURE


@pytest.fixture(scope="module")
def fold():
    return make_world("shop").fold


def purchases(transitions):
    return [t for t in transitions if t.terminated]


def share(hits):
    return sum(hits) / len(hits)


def test_a_model_that_is_right_scores_1(oracle, fold, transitions):
    score = measure(oracle, fold, transitions)
    assert (score.valid, score.invalid, score.reward, score.done) == (1.0, 1.0, 1.0, 1.0)
    assert (score.false_success, score.false_failure) == (0.0, 0.0)
    assert set(score.by_kind.values()) == {1.0}
    failed = sum(t.failed for t in transitions)
    assert (score.n_valid, score.n_invalid) == (len(transitions) - failed, failed)
    assert score.n_reward == len(purchases(transitions)) > 5
    assert len(oracle.questions) == len(transitions)


def test_a_sycophant_has_its_false_successes_counted(oracle, fold, transitions):
    """Every purchase is a success, it says; all else is right."""
    oracle.say = lambda question, truth: dataclasses.replace(truth, reward=float(truth.terminated))
    score = measure(oracle, fold, transitions)
    won = share([t.reward == 1.0 for t in purchases(transitions)])
    assert 0 < won < 1
    assert (score.false_success, score.reward) == (1.0, pytest.approx(won))
    assert score.false_failure == 0.0
    assert (score.valid, score.invalid, score.done) == (1.0, 1.0, 1.0)


def test_a_half_sycophant_has_half_of_them_counted(oracle, fold, transitions):
    bought = []

    def say(question, truth):
        if truth.terminated and truth.reward == 0.0:
            bought.append(question)
            return dataclasses.replace(truth, reward=float(len(bought) % 2))
        return truth

    oracle.say = say
    score = measure(oracle, fold, transitions)
    lies = math.ceil(len(bought) / 2)
    assert 1 < len(bought) < len(purchases(transitions))
    assert score.false_success == pytest.approx(lies / len(bought))
    assert score.reward == pytest.approx(1 - lies / len(purchases(transitions)))


def test_a_pessimist_makes_no_false_success_and_misses_the_true_ones(oracle, fold, transitions):
    oracle.say = lambda question, truth: dataclasses.replace(truth, reward=0.0)
    score = measure(oracle, fold, transitions)
    lost = share([t.reward == 0.0 for t in purchases(transitions)])
    assert (score.false_success, score.reward) == (0.0, pytest.approx(lost))
    assert score.false_failure == 1.0


def test_a_model_for_which_nothing_happens_is_right_on_invalid_actions_only(
    oracle, fold, transitions
):
    nothing = Outcome("", f"{FAILURE} that is not on this page", 0.0, False)
    oracle.say = lambda question, truth: nothing
    score = measure(oracle, fold, transitions)
    # A valid action can also change nothing: the search that is shown, the option that is chosen.
    idle = [t.next_state == t.state for t in transitions if not t.failed]
    assert (score.invalid, score.by_kind["invalid"]) == (1.0, 1.0)
    assert score.valid == pytest.approx(share(idle)) and score.valid < 0.2
    assert (score.reward, score.false_success, score.by_kind["buy now"]) == (0.0, 0.0, 0.0)
    assert score.done == pytest.approx(1 - share([t.terminated for t in transitions]))


def test_a_reward_without_an_end_is_not_right(oracle, fold, transitions):
    """A dream would not pay it (dream.py), so the right number on the wrong step is wrong."""
    oracle.say = lambda question, truth: dataclasses.replace(truth, terminated=False)
    score = measure(oracle, fold, transitions)
    assert (score.reward, score.valid) == (0.0, 1.0)
    assert score.done == pytest.approx(1 - share([t.terminated for t in transitions]))


def test_an_end_that_comes_too_early_is_seen(oracle, fold, transitions):
    oracle.say = lambda question, truth: dataclasses.replace(truth, terminated=True)
    score = measure(oracle, fold, transitions)
    assert (score.reward, score.valid, score.invalid) == (1.0, 1.0, 1.0)
    assert score.done == pytest.approx(share([t.terminated for t in transitions]))


def test_one_wrong_word_on_the_page_is_a_wrong_state(oracle, fold, transitions):
    def say(question, truth):
        return dataclasses.replace(truth, observation=truth.observation.replace("casual", "slim"))

    oracle.say = say
    score = measure(oracle, fold, transitions)
    right = ["casual" not in t.observation for t in transitions if not t.failed]
    assert score.valid == pytest.approx(share(right)) and 0 < score.valid < 1
    searches = [t for t in transitions if kind_of(t) == "search"]
    right = ["casual" not in t.observation for t in searches]
    assert score.by_kind["search"] == pytest.approx(share(right))
    assert score.invalid == 1.0
    rows = compare(oracle, fold, transitions)
    assert [t for t, *_ in rows] == transitions
    for t, imagined, exact in rows:
        assert exact == (imagined.outcome.observation == t.observation)


def test_a_share_of_nothing_is_no_number(oracle, fold, transitions):
    valid = [t for t in transitions if not t.failed and not t.terminated]
    score = measure(oracle, fold, valid)
    for value in (score.invalid, score.reward, score.false_success):
        assert math.isnan(value)
    assert (score.n_invalid, score.n_reward, score.valid) == (0, 0, 1.0)
    with pytest.raises(UserError, match="the list is empty"):
        measure(oracle, fold, [])


def test_actions_are_sorted_by_kind(transitions):
    step = next(t for t in transitions if not t.failed)
    cases = {
        "search[red mug]": "search",
        "click[buy now]": "buy now",
        "click[back to search]": "back to search",
        "click[< prev]": "< prev",
        "click[next >]": "next >",
        "click[b12]": "item",
    }
    for action, kind in cases.items():
        assert kind_of(dataclasses.replace(step, action=action, observation="x")) == kind
    option = dataclasses.replace(step, action="click[red]", observation="chosen color red")
    assert kind_of(option) == "option"
    assert kind_of(dataclasses.replace(step, action="search[red]", failed=True)) == "invalid"
    kinds = {kind_of(t) for t in transitions}
    assert kinds == {*cases.values(), "option", "invalid"}


def test_a_score_can_be_recorded(oracle, fold, transitions):
    import json

    score = measure(oracle, fold, transitions[:40])
    assert json.loads(json.dumps(score.to_json()))["n_valid"] == score.n_valid
