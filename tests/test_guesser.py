"""Being the experience model: the riddles are fair, the score is right, no callback fails."""

import pytest

from dreamgym_nb.course import guesser
from dreamgym_nb.course.guesser import FAILS, GOES_ON, LETTERS, SUCCEEDS, BeTheModel
from dreamgym_nb.errors import UserError
from dreamgym_nb.fidelity import kind_of


@pytest.fixture
def asked(oracle, transitions):
    return guesser.riddles(oracle, transitions, 8, seed=1)


def answer(widget, page, ending):
    widget.page.value = LETTERS[widget.riddle.options.index(page)]
    widget.ending.value = ending
    widget.say.click()


def wrong_page(riddle):
    return next(page for page in riddle.options if page != riddle.truth.observation)


def test_riddles_are_of_many_kinds_and_each_has_the_truth_among_four_pages(asked):
    assert len({kind_of(r.truth) for r in asked}) >= 6
    for r in asked:
        assert 2 <= len(r.options) <= 4 and len(set(r.options)) == len(r.options)
        assert r.truth.observation in r.options
    places = {r.options.index(r.truth.observation) for r in asked}
    assert len(places) > 1, "the place of the truth tells nothing"


def test_the_same_seed_gives_the_same_riddles(oracle, transitions, asked):
    again = guesser.riddles(oracle, transitions, 8, seed=1)
    assert [(r.truth, r.options) for r in again] == [(r.truth, r.options) for r in asked]
    assert [r.truth for r in guesser.riddles(oracle, transitions, 8, seed=2)] != [
        r.truth for r in asked
    ]


def test_a_model_that_is_always_right_gets_all_points(asked):
    assert [r.model_points for r in asked] == [(1, 1)] * len(asked)


def test_a_model_that_says_success_loses_the_point_for_the_end(oracle, transitions):
    from dataclasses import replace

    oracle.say = lambda q, truth: replace(truth, reward=1.0, terminated=True)
    for r in guesser.riddles(oracle, transitions, 8):
        assert r.model_points == (1, int(r.true_ending == SUCCEEDS))


def test_points_are_given_for_the_page_and_for_the_end(asked):
    r = asked[0]
    assert r.points(r.truth.observation, r.true_ending) == (1, 1)
    assert r.points(wrong_page(r), r.true_ending) == (0, 1)
    other = GOES_ON if r.true_ending != GOES_ON else FAILS
    assert r.points(r.truth.observation, other) == (1, 0)


def test_the_question_shows_what_the_model_reads_and_not_the_answer(oracle, transitions):

    t = next(t for t in transitions if t.observation.startswith("item") and t.history)
    [r] = guesser.riddles(oracle, [t], 1)
    shown = guesser.question_html(r)
    assert t.task.instruction in shown and t.history[-1][1] in shown
    assert t.observation.split("\n")[0] not in shown
    assert t.observation.split("\n")[0] in guesser.answer_html(r)
    assert "A</strong>" in guesser.options_html(r)


def test_too_many_riddles_get_a_sentence(oracle, transitions):
    with pytest.raises(UserError, match="There are 3 transitions"):
        guesser.riddles(oracle, transitions[:3], 4)
    with pytest.raises(UserError, match="at least one riddle"):
        BeTheModel([])


# ---- the widget --------------------------------------------------------------------------------


def test_it_starts_with_a_question_and_no_answer(asked):
    widget = BeTheModel(asked)
    assert widget.riddle.truth.action in widget.question.value
    assert widget.answer.value == "" and widget.ending.value == GOES_ON
    assert tuple(widget.page.options) == tuple(LETTERS[: len(asked[0].options)])
    assert "Riddle 1 of 8." in widget.status.value and "You 0 of 0 points" in widget.status.value


def test_a_right_answer_is_scored_and_the_truth_is_shown(asked):
    widget = BeTheModel(asked)
    answer(widget, asked[0].truth.observation, asked[0].true_ending)
    assert "The page is right; so is the end." in widget.status.value
    assert "You 2 of 2 points, the model 2 of 2." in widget.status.value
    assert "What happened" in widget.answer.value


def test_a_wrong_answer_says_what_was_right(asked):
    widget = BeTheModel(asked)
    right = LETTERS[asked[0].options.index(asked[0].truth.observation)]
    answer(widget, wrong_page(asked[0]), GOES_ON)
    assert f"The page was {right};" in widget.status.value
    assert widget.mine == int(asked[0].true_ending == GOES_ON) and widget.models == 2


def test_a_second_answer_does_not_count(asked):
    widget = BeTheModel(asked)
    answer(widget, wrong_page(asked[0]), asked[0].true_ending)
    answer(widget, asked[0].truth.observation, asked[0].true_ending)
    assert (widget.mine, widget.answered) == (1, 1)
    assert "go to the next" in widget.status.value


def test_after_the_last_riddle_the_first_comes_again_with_a_new_score(asked):
    widget = BeTheModel(asked[:2])
    for riddle in asked[:2]:
        answer(widget, riddle.truth.observation, riddle.true_ending)
        widget.following.click()
    assert widget.number == widget.mine == widget.models == widget.answered == 0
    assert "Riddle 1 of 2. Which page" in widget.status.value
