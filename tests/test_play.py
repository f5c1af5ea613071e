"""Playing a world in the terminal: standard input in, standard output out."""

import contextlib
import io
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

from dreamgym_nb import cli, play
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import FAILURE, make_world

TASK = "train/0000"


@pytest.fixture
def session():
    return play.Session(make_world("shop"), TASK)


def run(monkeypatch, capsys, *lines, arguments=("shop", "--task", TASK)):
    """Run `dreamgym play` with these lines as its input; returns the exit code and the output."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    code = cli.main(["play", *arguments])
    return code, capsys.readouterr()


def expert_actions(world, task):
    rng = np.random.default_rng(0)
    world.reset(options={"task": task})
    done, actions = False, []
    while not done:
        actions.append(world.act("expert", rng))
        _, reward, terminated, truncated, _ = world.step(actions[-1])
        done = terminated or truncated
    assert reward == 1.0
    return actions


# ---- blanks and the session --------------------------------------------------------------


def test_blanks_are_filled_in_from_left_to_right():
    assert play.blanks("search[words]") == ["words"]
    assert play.blanks("type [7] [text] [1]") == ["text"]
    assert play.blanks("click[b33]") == play.blanks("go to desk 1") == []
    assert play.fill("type [7] [text] [1]", ["red mug"]) == "type [7] [red mug] [1]"
    assert play.fill("goto [url]", [r"/a\1"]) == r"goto [/a\1]"
    with pytest.raises(UserError, match="1 blanks to fill; you gave 0"):
        play.fill("stop [answer]", [])


def test_a_session_keeps_the_books(session):
    assert session.moves == [] and not session.over and session.outcome == ""
    move = session.do("search[slim rug]")
    assert move.observation.startswith("page 1 of") and not move.failed
    assert session.do("click[a unicorn]").failed
    assert session.count == "Step 2 of at most 10 · reward 0 · real steps in all: 2"
    session.start(TASK)
    assert session.moves == [] and session.world.real_steps == 2


def test_where_no_episode_can_begin_the_present_one_goes_on(session):
    session.do("search[slim rug]")
    for wrong in ("train/nothing", Task("house", "1", "put a mug on a desk")):
        with pytest.raises(UserError):
            session.start(wrong)
        assert len(session.moves) == 1
    assert not session.do("click[back to search]").failed, "still on its page of results"


def test_success_failure_and_a_cut_are_told_apart(session):
    for action in expert_actions(make_world("shop"), session.world.task):
        session.do(action)
    assert session.outcome == "Success: reward 1 (terminated)."
    with pytest.raises(UserError, match="over"):
        session.do("click[buy now]")
    with pytest.raises(UserError, match="over"):
        session.expert()
    session.start(TASK)
    for action in ("search[rug]", "click[b11]", "click[buy now]"):
        session.do(action)
    assert session.outcome.startswith("Failure") and session.terminated
    session.start(TASK)
    while not session.over:
        session.do("click[a unicorn]")
    assert session.outcome.startswith("Cut by the limit of 10 steps") and session.truncated


def test_a_blank_left_open_costs_no_step(session):
    with pytest.raises(UserError, match="something of your own for 'words'"):
        session.do("search[words]")
    assert session.world.real_steps == 0


def test_the_expert_is_asked_without_a_step(session):
    assert session.expert() == "search[slim rug]"
    assert session.moves == [] and session.world.real_steps == 0


def test_tasks_follow_from_the_seed():
    ids = [play.Session(make_world("house"), seed=4).world.task.id for _ in range(2)]
    assert ids[0] == ids[1]
    with pytest.raises(UserError, match="no task 'nowhere'; an id looks like"):
        play.Session(make_world("house"), "nowhere")


# ---- the terminal ------------------------------------------------------------------------


def test_a_person_wins_by_numbers_and_by_words(monkeypatch, capsys):
    lines = ["1", "slim rug", "3", "click[grey]", "8", "click[buy now]", "q"]
    code, said = run(monkeypatch, capsys, *lines)
    assert code == 0 and said.err == ""
    assert "Task train/0000: find a slim rug" in said.out
    assert "   1  search[words]" in said.out
    assert "chosen size giant" in said.out
    assert "Success: reward 1 (terminated). Type n for another task" in said.out
    assert said.out.endswith("Real steps in all: 5.\n")


def test_the_end_of_the_input_ends_the_game(monkeypatch, capsys):
    code, said = run(monkeypatch, capsys, "1")  # and then nothing, in the midst of a blank
    assert code == 0
    assert said.out.endswith("Real steps in all: 0.\n")


def test_help_state_raw_expert_and_another_task(monkeypatch, capsys):
    arguments = ("house", "--task", "train0-bedroom-0/0")
    code, said = run(monkeypatch, capsys, "?", "s", "r", "e", "", "n", "q", arguments=arguments)
    assert code == 0
    assert play.HELP in said.out
    assert "in the middle\nholding nothing" in said.out
    assert "Welcome to TextWorld" in said.out
    assert "> go to " in said.out
    assert said.out.count("\nTask ") == 2
    assert said.out.endswith("Real steps in all: 0.\n")


def test_what_cannot_be_done_gets_a_sentence(monkeypatch, capsys):
    code, said = run(monkeypatch, capsys, "99", "search[words]", "fly", "q")
    assert code == 0
    assert "There is no action 99: the numbers go from 1 to 1." in said.out
    assert "Put something of your own for 'words'" in said.out
    assert FAILURE in said.out, "the world itself answers what it does not know"
    assert said.out.endswith("Real steps in all: 1.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("moon",), "There is no world 'moon'"),
        (("shop", "--task", "x"), "no task 'x'"),
        (("house", "--browser"), "Only the web opens in a browser"),
    ],
)
def test_wrong_arguments_get_a_sentence(monkeypatch, capsys, arguments, sentence):
    code, said = run(monkeypatch, capsys, arguments=arguments)
    assert code == 2
    assert sentence in said.err and said.out == ""


# ---- the web in a person's own browser ---------------------------------------------------


class Person:
    """Reads what is printed, visits pages, fills in forms, and then answers."""

    def __init__(self, capsys, *visits):
        self.capsys, self.visits, self.out = capsys, list(visits), ""

    def __call__(self, prompt):
        self.out += self.capsys.readouterr().out + prompt
        if not self.visits:
            raise EOFError
        return self.visits.pop(0)(self)

    def request(self, path, form=None):
        home = re.findall(r"Served at (http://127\.0\.0\.1:\d+)/", self.out)[-1]
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{home}{path}", data) as answer:
            return answer.read().decode()


def web_task(kind):
    world = make_world("web")
    return next(t for t in world.tasks("train") if t.goal["kind"] == kind)


def play_in_browser(monkeypatch, capsys, task, *visits):
    person = Person(capsys, *visits)
    monkeypatch.setattr("builtins.input", person)
    assert cli.main(["play", "web", "--browser", "--task", task.id]) == 0
    return person.out + capsys.readouterr().out


def test_an_answer_found_in_a_browser_is_checked(monkeypatch, capsys):
    task = web_task("answer")

    def visit(person):
        assert "home" in person.request("/")
        return task.goal["value"]

    out = play_in_browser(monkeypatch, capsys, task, visit)
    assert f"Task: {task.instruction}" in out
    assert "Success: reward 1" in out and out.endswith("The sites are closed.\n")


def test_the_page_that_was_last_seen_is_checked(monkeypatch, capsys):
    task = web_task("visit")

    def visit(person):
        person.request(task.goal["url"])
        person.request("/static/style.css")  # what a browser asks for beside the page
        return ""

    out = play_in_browser(monkeypatch, capsys, task, visit)
    assert f"You were at {task.goal['url']}. Success" in out


def test_a_change_is_checked_and_the_next_task_starts_afresh(monkeypatch, capsys):
    task = web_task("change")
    world = make_world("web")
    plural, key = task.goal["record"]
    url = world.site.url(plural, key)

    def change(person):
        for field, value in task.goal["changes"]:
            for form in ({field: value}, {"set": value}):
                with contextlib.suppress(urllib.error.HTTPError):
                    person.request(url, form)
        return ""

    def again(person):
        return ""  # Enter: another task

    out = play_in_browser(monkeypatch, capsys, task, change, again, lambda person: "wrong answer")
    assert out.count("\nTask: ") == 2
    assert "Success: reward 1" in out and "Failure: it is over" in out


def test_quitting_closes_the_sites(monkeypatch, capsys):
    out = play_in_browser(monkeypatch, capsys, web_task("answer"), lambda person: "q")
    assert out.endswith("The sites are closed.\n") and "reward" not in out


def test_a_seed_below_none_gets_a_sentence(capsys):
    assert cli.main(["play", "shop", "--seed", "-1"]) == 2
    assert "--seed is a whole number of at least 0" in capsys.readouterr().err
