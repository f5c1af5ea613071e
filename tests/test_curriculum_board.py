"""The curriculum board: what a watch keeps of a run, its picture, and the widget's callbacks."""

import numpy as np
import pytest
from curriculum_by_hand import FREE, MIXED, TRAIN, curriculum, episodes

from dreamgym_nb.course import curriculum_board as board
from dreamgym_nb.course.curriculum_board import Candidate, CurriculumBoard, Page, Tried, Watch
from dreamgym_nb.errors import UserError
from dreamgym_nb.grpo import uniform_tasks
from dreamgym_nb.success_band import BandTasks
from dreamgym_nb.task_filter import KNOWN, UNREADABLE
from dreamgym_nb.task_writer import is_written

OWN = Tried("find a <red> mug", (1.0, 0.0, 0.0, 0.0), 3 / 16)
MADE_UP = Tried("find a blue mug", (0.0, 0.0, 0.0, 0.0), 0.0, "find a <red> mug")
GOOD = Candidate("find a green rug", "find a red rug", None)
BAD = Candidate(None, "find a red rug", UNREADABLE)
RUNS = {
    "on": [Page(1, (OWN, MADE_UP), (GOOD, BAD), 1), Page(2, (OWN,)), Page(3, (MADE_UP,))],
    "off": [Page(1, (OWN,)), Page(2, (OWN, OWN))],
}


# ---- what is kept -----------------------------------------------------------------------------


def test_a_watch_keeps_every_task_and_every_verdict_and_changes_nothing():
    texts = (FREE[0], None, TRAIN[0].instruction)
    alone, watched = curriculum(*texts), Watch(curriculum(*texts), "on", 2)
    settled = (TRAIN[1], (1, 1, 1, 1))
    for _ in range(2):
        some = episodes(settled, MIXED)
        assert [t.instruction for t in watched.observe(some, 4)] == [
            t.instruction for t in alone.observe(some, 4)
        ]
    assert watched.picks.summary() == alone.summary()
    first, second = watched.pages
    assert (first.iteration, second.iteration) == (1, 2)
    best, last = first.tried
    assert (best.task, best.rewards, best.value) == (MIXED[0].instruction, MIXED[1], 3 / 16)
    assert (last.task, last.value, last.written_from) == (TRAIN[1].instruction, 0.0, "")
    assert [c.text for c in first.candidates] == list(texts)
    assert [c.why for c in first.candidates] == [None, UNREADABLE, KNOWN]
    assert [c.why for c in second.candidates] == [KNOWN, UNREADABLE, KNOWN]
    assert {c.written_from for c in first.candidates} == {MIXED[0].instruction}
    assert (first.pool, second.pool) == (1, 1)
    assert (first.teaching, first.written) == (1, 0)


def test_the_filter_is_the_curriculum_s_own_again_after_each_look():
    watched = Watch(curriculum(FREE[0]), "on", 1)
    own = watched.picks.filter
    watched.observe(episodes(MIXED), 4)
    assert watched.picks.filter is own
    watched.picks.writer = lambda asked: 1 / 0
    with pytest.raises(ZeroDivisionError):
        watched.observe(episodes(MIXED), 4)
    assert watched.picks.filter is own


def test_a_made_up_task_is_shown_with_what_it_varies():
    watched = Watch(curriculum(FREE[0]), "on", 2)
    (joined,) = watched.observe(episodes(MIXED), 4)
    picked = watched(4, np.random.default_rng(0))
    assert [t for t in picked if is_written(t)] == [joined]
    watched.observe(episodes((joined, (1, 0, 0, 0)), (TRAIN[1], (0, 0, 0, 0))), 4)
    tried = watched.pages[1].tried[0]
    assert (tried.task, tried.written_from) == (FREE[0], MIXED[0].instruction)
    assert watched.pages[1].written == 1


@pytest.mark.parametrize("rule", [uniform_tasks(TRAIN), BandTasks(TRAIN)], ids=["uniform", "band"])
def test_rules_that_write_nothing_are_watched_too(rule, capsys):
    watched = Watch(rule, "another rule", 1)
    assert len(watched(3, np.random.default_rng(0))) == 3
    assert watched.observe(episodes(MIXED), 4) == []
    assert watched.pages == [Page(1, (Tried(MIXED[0].instruction, MIXED[1], 3 / 16),))]
    if isinstance(rule, BandTasks):
        assert rule.success == {MIXED[0].id: 0.25}, "it saw the episodes"
    said = capsys.readouterr().err
    assert "another rule: 1 of 1 iterations, success in the dream 0.25, 1 of 1 groups" in said


# ---- the picture ------------------------------------------------------------------------------


def test_a_page_shows_its_tasks_where_they_came_from_and_what_was_written():
    html = board.board_html(RUNS["on"], 0)
    assert "●○○○" in html and "1 of 4" in html and "0.188" in html
    assert "<red>" not in html and "made up, from: find a &lt;red&gt; mug" in html
    assert html.count("the world&#x27;s own") == 1
    assert html.count(">teaches<") == html.count("all agree: nothing") == 1
    assert "joins the pool" in html and "thrown out: unreadable" in html
    assert "(unreadable)" in html
    assert "Nothing was written" in board.board_html(RUNS["on"], 1)


def test_the_picture_has_a_dot_for_each_own_task_and_a_square_for_each_made_up_one():
    svg = board.spread_svg(RUNS["on"], 1)
    assert svg.count("<circle") == 2
    assert svg.count('width="7"') == 2
    assert board.summary(RUNS["on"], 1) in svg
    heights = [float(x.split('"')[0]) for x in svg.split('cy="')[1:]]
    assert heights[0] == heights[1] == pytest.approx(10 + 150 * (1 - 0.75))


def test_the_sentence_counts_what_is_on_the_page():
    told = board.summary(RUNS["on"], 0)
    assert told.startswith("Iteration 1 of 3: 1 of 2 tasks teach something, mean V_τ 0.094, 1 of")
    assert "2 written after it: 1 joins the pool, 1 thrown out: unreadable; 1 in the pool." in told
    assert "written after it" not in board.summary(RUNS["on"], 1)


@pytest.mark.parametrize(
    ("show", "there", "gone"),
    [
        (board.EVERYTHING, ("green rug", "(unreadable)"), ()),
        (board.JOINED, ("green rug",), ("(unreadable)",)),
        (board.THROWN_OUT, ("(unreadable)",), ("green rug",)),
    ],
)
def test_what_joined_and_what_was_thrown_out_can_be_shown_alone(show, there, gone):
    html = board.candidates_html(RUNS["on"][0], show)
    assert all(text in html for text in there) and not any(text in html for text in gone)
    assert f"{len(there)} of 2 shown" in html


def test_a_page_that_does_not_exist_is_refused():
    for at in (-1, 3):
        with pytest.raises(UserError, match="has 3 iterations"):
            board.board_html(RUNS["on"], at)


# ---- the widget -------------------------------------------------------------------------------


@pytest.fixture
def widget():
    return CurriculumBoard(RUNS)


def assert_shows(widget, run, at, show=board.EVERYTHING):
    pages = RUNS[run]
    assert (widget.run.value, widget.slider.value) == (run, at + 1)
    assert widget.slider.max == len(pages)
    assert widget.page.value == board.board_html(pages, at, show)
    assert f"Iteration {at + 1} of {len(pages)}: " in widget.status.value


def test_the_board_starts_at_the_first_iteration_of_the_first_run(widget):
    assert_shows(widget, "on", 0)


def test_the_slider_and_the_buttons_move_through_a_run(widget):
    widget.slider.value = 3
    assert_shows(widget, "on", 2)
    widget.next.click()
    assert_shows(widget, "on", 2)
    widget.previous.click()
    assert_shows(widget, "on", 1)
    widget.on_previous()
    widget.on_previous()
    assert_shows(widget, "on", 0)
    widget.on_next()
    assert_shows(widget, "on", 1)


def test_another_run_starts_at_its_beginning_whatever_its_length(widget):
    widget.slider.value = 3
    widget.run.value = "off"
    assert_shows(widget, "off", 0)
    widget.next.click()
    widget.run.value = "on"
    assert_shows(widget, "on", 0)


def test_the_choice_of_candidates_stays_when_the_page_changes(widget):
    widget.show_only.value = board.JOINED
    assert_shows(widget, "on", 0, board.JOINED)
    widget.next.click()
    widget.previous.click()
    assert_shows(widget, "on", 0, board.JOINED)
    widget.show_only.value = board.THROWN_OUT
    assert_shows(widget, "on", 0, board.THROWN_OUT)


@pytest.mark.parametrize("runs", [{}, {"empty": []}])
def test_a_board_without_a_run_says_what_to_do(runs):
    with pytest.raises(UserError, match="train first"):
        CurriculumBoard(runs)
