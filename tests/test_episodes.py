"""A dream beside its real counterpart: what is replayed, what differs, what a reader sees."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dreamgym_nb.course import episodes
from dreamgym_nb.course.views import NO_MATHS
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Trajectory
from dreamgym_nb.worlds import Shop, collect_log


@pytest.fixture(scope="module")
def world():
    return Shop()


@pytest.fixture(scope="module")
def log(world):
    return collect_log(world, world.tasks("train"), 30, 0)


@pytest.fixture
def real(log):
    """A real episode that buys something after at least four steps."""
    return next(t for t in log if len(t.transitions) >= 4 and t.transitions[-1].terminated)


def dreamt(real, **changes):
    """A dream that says what reality says, but for the changes: `at2={"reward": 1.0}`."""
    steps = [
        replace(t, source="dream", **changes.get(f"at{i}", {}))
        for i, t in enumerate(real.transitions)
    ]
    return replace(real, id="dream/0", transitions=tuple(steps))


def cut(trajectory, steps):
    return replace(trajectory, transitions=trajectory.transitions[:steps])


class Page(HTMLParser):
    """The rows of a table as text, its tags and attributes; fails on a tag closed out of place."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.tags, self.names, self.rows = [], set(), set(), []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.stack.append(tag)
        self.tags.add(tag)
        self.names.update(name for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append([])
        if tag == "div" and self.rows and self.rows[-1]:
            self.rows[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            cell = self.rows[-1][-1]
            if not cell:
                cell.append("")
            cell[-1] += data

    def below(self, title):
        """Return the lines of the two cells under the row whose title starts so."""
        at = next(i for i, row in enumerate(self.rows) if "".join(row[0]).startswith(title))
        return [[line for line in cell if line] for cell in self.rows[at + 1]]

    def title(self, start):
        return next(t for t in ("".join(row[0]) for row in self.rows) if t.startswith(start))


def test_replaying_the_actions_of_real_episodes_gives_them_again(world, log):
    for known in log:
        again = episodes.replay(world, known.task, [t.action for t in known.transitions])
        steps = [replace(t, trajectory=known.id) for t in again.transitions]
        assert tuple(steps) == known.transitions
        assert (again.observation, again.state) == (known.observation, known.state)
        assert again.truncated == known.truncated


def test_replay_counts_real_steps_and_stops_where_reality_stops(world, real):
    actions = [t.action for t in real.transitions]
    before = world.real_steps
    again = episodes.replay(world, real.task, [*actions, "click[buy now]", "search[mug]"])
    assert len(again.transitions) == len(actions) == world.real_steps - before
    assert again.transitions[-1].terminated
    assert {t.source for t in again.transitions} == {"real"}


def test_replay_that_runs_out_of_actions_is_neither_terminated_nor_truncated(world, real):
    again = episodes.replay(world, real.task, [real.transitions[0].action])
    assert len(again.transitions) == 1
    assert not again.transitions[-1].terminated and not again.truncated
    assert episodes.replay(world, real.task, []).transitions == ()
    assert "when the actions ran out" in episodes.side_by_side_html(cut(dreamt(real), 1), again)


def test_replay_at_the_step_limit_is_truncated(world, real):
    again = episodes.replay(world, real.task, ["click[nowhere]"] * (world.max_steps + 3))
    assert again.truncated and len(again.transitions) == world.max_steps
    shown = episodes.side_by_side_html(dreamt(again), again)
    assert f"<strong>no success</strong>, cut by the limit of {world.max_steps} steps" in shown


def test_replay_refuses_one_text_and_tasks_of_other_worlds(world, real):
    with pytest.raises(UserError, match="list of actions"):
        episodes.replay(world, real.task, "search[mug]")
    with pytest.raises(UserError, match="belongs to the world"):
        episodes.replay(world, replace(real.task, world="house"), [])


@pytest.mark.parametrize(
    "change", [{"observation": "another page"}, {"reward": 0.5}, {"terminated": True}]
)
def test_the_first_difference_is_found_in_each_part_of_an_answer(real, change):
    both = {"at1": change, "at2": {"observation": "later"}}
    assert episodes.first_difference(dreamt(real, **both), real) == 1
    assert episodes.first_difference(real, dreamt(real, **both)) == 1


def test_the_first_difference_of_equal_and_of_shorter_episodes(real):
    other_words = {f"at{i}": {"reasoning": "?"} for i in range(len(real.transitions))}
    assert episodes.first_difference(dreamt(real, **other_words), real) is None
    assert episodes.first_difference(dreamt(real), cut(real, 2)) == 2
    assert episodes.first_difference(cut(dreamt(real), 2), real) == 2
    assert episodes.first_difference(cut(dreamt(real), 0), cut(real, 0)) is None


def test_the_table_shows_each_step_of_both(real):
    page = Page(episodes.side_by_side_html(dreamt(real), real))
    n = len(real.transitions)
    for i, t in enumerate(real.transitions):
        title = page.title(f"Step {i + 1} of {n}: ")
        assert t.action in title and "= same" in title
        dream_cell, real_cell = page.below(f"Step {i + 1} of {n}: ")
        lines = t.observation.split("\n")
        assert dream_cell[: len(lines)] == lines == real_cell[: len(lines)]
        assert dream_cell[-len(t.reasoning.split("\n")) :] == t.reasoning.split("\n")
        assert real_cell[-1].startswith(f"reward {t.reward:g}")
    assert "≠" not in "".join("".join(c) for row in page.rows for c in row)
    assert page.rows[-1] == [["The dream and the real world agree at every step."]]


def test_differences_are_marked_with_words_on_the_lines_that_differ(real):
    t = real.transitions[0]
    lines = t.observation.split("\n")
    wrong = "\n".join([lines[0], "something else", *lines[2:]])
    page = Page(episodes.side_by_side_html(dreamt(real, at0={"observation": wrong}), real))
    assert "≠ differs here for the first time" in page.title("Step 1 of")
    dream_cell, real_cell = page.below("Step 1 of")
    assert [x for x in dream_cell if x.startswith("≠")] == ["≠ something else"]
    assert [x for x in real_cell if x.startswith("≠")] == [f"≠ {lines[1]}"]
    assert "= same" in page.title("Step 2 of") and "different states" not in page.title("Step 2 of")
    assert page.rows[-1][0][0].startswith("The first difference is at step 1 of")


def test_a_line_that_only_one_world_has_is_marked_in_both(real):
    more = real.transitions[0].observation + "\n\nextra"
    page = Page(episodes.side_by_side_html(dreamt(real, at0={"observation": more}), real))
    dream_cell, real_cell = page.below("Step 1 of")
    assert [x for x in dream_cell if "≠" in x] == ["≠ (empty line)", "≠ extra"]
    assert [x for x in real_cell if "≠" in x] == ["≠ (2 lines missing here)"]


def test_the_same_answer_from_a_different_state_is_called_so(real):
    dream = dreamt(real, at0={"observation": "lost"}, at1={"state": "lost"})
    page = Page(episodes.side_by_side_html(dream, real))
    assert "= same, from different states" in page.title("Step 2 of")


def test_reward_end_and_outcome_are_compared(real):
    last = len(real.transitions) - 1
    other = 1.0 - real.reward
    page = Page(episodes.side_by_side_html(dreamt(real, **{f"at{last}": {"reward": other}}), real))
    dream_cell, real_cell = page.below(f"Step {last + 1} of")
    assert f"≠ reward {other:g}, the episode ends" in dream_cell
    assert f"≠ reward {real.reward:g}, the episode ends" in real_cell
    words = {0.0: "failure", 1.0: "success"}
    assert "≠ differs here" in page.title("Outcome")
    dream_end, real_end = page.below("Outcome")
    assert dream_end[0] == f"≠ {words[other]}, ended after {last + 1} steps"
    assert real_end[0] == f"≠ {words[real.reward]}, ended after {last + 1} steps"
    assert dream_end[1] == f"cost: 0 real transitions ({last + 1} dreamed)"
    assert real_end[1] == f"cost: {last + 1} real transitions"


def test_an_episode_that_ended_earlier_is_said_to_be_over(real):
    n = len(real.transitions)
    page = Page(episodes.side_by_side_html(dreamt(real), cut(real, n - 1)))
    assert page.below(f"Step {n} of")[1] == ["≠ the real episode was already over"]
    page = Page(episodes.side_by_side_html(cut(dreamt(real), n - 1), real, step=n - 1))
    assert page.below(f"Step {n} of")[0] == ["≠ the dream episode was already over"]
    assert page.below("Abstract state after")[0] == ["≠ the dream episode was already over"]


def test_one_step_is_shown_with_its_states_and_both_traces(real):
    t = real.transitions[1]
    change = {"next_state": t.next_state + "\nmore", "reasoning": "because"}
    page = Page(episodes.side_by_side_html(dreamt(real, at1=change), real, step=1))
    assert t.action in page.title(f"Step 2 of {len(real.transitions)}")
    assert not any("Step 1 of" in "".join(row[0]) for row in page.rows)
    assert page.below("Reasoning") == [["because"], t.reasoning.split("\n")]
    assert page.below("Abstract state before") == [t.state.split("\n")] * 2
    assert "= same" in page.title("Abstract state before")
    after = page.below("Abstract state after")
    assert after[0] == [*t.next_state.split("\n"), "≠ more"]
    assert after[1] == [*t.next_state.split("\n"), "≠ (1 line missing here)"]
    assert "≠ differs here" in page.title("Abstract state after")


def test_everything_an_agent_or_a_model_writes_is_escaped(real):
    bad = "<script>alert(1)</script> & <b>"
    task = replace(real.task, instruction=bad)
    true = replace(real, task=task, observation=bad)
    steps = [replace(t, task=task, action=bad, state=bad) for t in true.transitions]
    true = replace(true, transitions=tuple(steps))
    change = {"observation": bad, "reasoning": bad, "next_state": bad}
    dream = dreamt(true, at0=change)
    for step in (None, 0):
        html = episodes.side_by_side_html(dream, true, step)
        assert "<script" not in html and "<b>" not in html
        assert html.count("&lt;script&gt;") >= 4
        assert Page(html).tags <= set(
            "table caption thead tbody tfoot tr th td div span strong sub".split()
        )


def test_the_table_is_plain_and_accessible(real):
    html = episodes.side_by_side_html(dreamt(real), real)
    page = Page(html)
    assert page.names == {"class", "style", "scope", "colspan"}  # no script or handler
    assert html.count("class=") == html.count(NO_MATHS) == 1
    assert html.count('scope="col"') == 2
    assert html.count('scope="rowgroup"') == len(real.transitions) + 2
    assert "<caption" in html and real.task.instruction in html
    assert "color:black" not in html and "background:white" not in html


def test_an_empty_answer_is_named(real):
    page = Page(episodes.side_by_side_html(dreamt(real, at0={"observation": ""}), real))
    assert "≠ (no text)" in page.below("Step 1 of")[0]


def test_episodes_that_do_not_belong_together_are_refused(real):
    dream = dreamt(real)
    with pytest.raises(UserError, match="first and the real one second"):
        episodes.side_by_side_html(real, dream)
    with pytest.raises(UserError, match="different tasks or actions"):
        episodes.side_by_side_html(dreamt(real, at1={"action": "click[other]"}), real)
    with pytest.raises(UserError, match="different tasks or actions"):
        episodes.side_by_side_html(replace(dream, task=replace(dream.task, id="train/x")), real)
    for step in (-1, len(real.transitions)):
        with pytest.raises(UserError, match="There is no step"):
            episodes.side_by_side_html(dream, real, step)


def test_the_summary_names_step_action_and_verdict(real):
    n, action = len(real.transitions), real.transitions[1].action
    assert episodes.step_summary(dreamt(real), real, 1) == f"Step 2 of {n}, {action}: = same"
    dream = dreamt(real, at1={"reward": 1.0})
    assert episodes.step_summary(dream, real, 1).endswith("≠ differs here for the first time")


def test_show_displays_the_table(real, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    dream = dreamt(real)
    assert isinstance(dream, Trajectory)
    episodes.show_side_by_side(dream, real)
    assert [s.data for s in shown] == [episodes.side_by_side_html(dream, real)]
