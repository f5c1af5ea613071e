"""The checker of worlds: ours keep every rule, and each broken rule is found and shown."""

import numpy as np
import pytest

from dreamgym_nb.course.help_desk import CLOSED, HelpDesk
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import WORLDS, collect_log, make_world
from dreamgym_nb.worlds.check import check


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_our_worlds_keep_the_contract(name):
    report = check(make_world(name, seed=5), 30)
    assert report.ok, str(report)
    assert report.steps > 100 and len(report.findings) == 15
    assert "BROKEN" not in str(report) and name in str(report)


class Unsaid(HelpDesk):
    def hidden(self, state, action):
        return False


class Secret(HelpDesk):
    def hidden(self, state, action):
        return action == "show"


class Curt(HelpDesk):
    def teacher(self, task, state, action):
        told = super().teacher(task, state, action)
        return told.replace(" yes", " True").replace(" no\n", " False\n")


class Unfinished(HelpDesk):
    behaviours = None


class Blank(HelpDesk):
    def fold(self, state, action, observation):
        return None


class Mute(HelpDesk):
    def admissible_actions(self):
        return []


class Peeking(HelpDesk):
    def fold(self, state, action, observation):
        asked = self.task.instruction if self.task else ""
        return f"{super().fold(state, action, observation)} {asked}"


class Secretive(HelpDesk):
    def teacher(self, task, state, action):
        told = super().teacher(task, state, action)
        return told if "wanted" in told else f"{told} {self.task.instruction}"


class Shaped(HelpDesk):
    def _apply(self, action):
        observation, reward, over, info = super()._apply(action)
        return observation, 0.1 if observation.startswith("account") else reward, over, info


class Generous(HelpDesk):
    def _apply(self, action):
        observation, reward, over, info = super()._apply(action)
        return observation, float(over), over, info


class Polite(HelpDesk):
    def _apply(self, action):
        observation, *rest = super()._apply(action)
        return (observation.replace("nothing happens:", "sorry,"), *rest)


class Promising(HelpDesk):
    def admissible_actions(self):
        return ["show", "unlock", "reset"]


class Shared(HelpDesk):
    def _begin(self, task):
        self.__dict__.setdefault("_accounts", [{}])[0] = dict(task.goal["account"])
        return super()._begin(task)

    def _apply(self, action):
        self._account = self._accounts[0]
        return super()._apply(action)


class Moody(HelpDesk):
    def act(self, behaviour, rng):
        self.__dict__.setdefault("_mood", np.random.default_rng(0))
        return super().act(behaviour, self._mood)


class Chatty(HelpDesk):
    def _begin(self, task):
        return super()._begin(task).replace("o", "ö")

    def fold(self, state, action, observation):
        return super().fold(state, action, observation.replace("ö", "o"))


class Lazy(HelpDesk):
    def act(self, behaviour, rng):
        return "close" if behaviour == "expert" else super().act(behaviour, rng)


class Smooth(HelpDesk):
    behaviours = {"expert": 1.0}


class Twice(HelpDesk):
    def tasks(self, split):
        return super().tasks("train")


class Silent(HelpDesk):
    def tasks(self, split):
        return [Task("help desk", "one", " ")] if split == "test" else super().tasks(split)


class Strange(HelpDesk):
    name = "desk"


class Empty(HelpDesk):
    def tasks(self, split):
        return [] if split == "test" else super().tasks(split)


BROKEN = [
    (Unsaid, "tell what happens", "was answered by"),
    (Secret, "not called hidden", "fails, and is called hidden"),
    (Curt, "verdict is the reward", "ends in neither yes nor no"),
    (Unfinished, "can play it", "It raised TypeError: 'NoneType' object is not iterable (base.py"),
    (Blank, "can play it", "It raised AttributeError|It raised TypeError"),
    (Mute, "calls admissible", "no action is admissible"),
    (Peeking, "fold makes the states", "another state|two states"),
    (Secretive, "trace follows", "another one later"),
    (Shaped, "Rewards are 0 or 1", "was paid 0.1"),
    (Generous, "verdict is the reward", "was paid 1, and the trace of the teacher says no"),
    (Polite, "fails with a reason", "answered by 'sorry"),
    (Promising, "calls admissible", "'unlock' was called|'reset' was called"),
    (Shared, "do not disturb", "beside other episodes"),
    (Moody, "The same seed", "went another way"),
    (Chatty, "observation_space", "is not in observation_space"),
    (Lazy, "An expert succeeds", "'expert' succeeds in 0%"),
    (Smooth, "successes, failures", "100% of the log|of the log's steps fail"),
    (Twice, "Both splits", "is in train and in test"),
    (Silent, "Both splits", "'one' asks for nothing"),
    (Strange, "Both splits", "is of 'help desk', not of 'desk'"),
    (Empty, "Both splits", "tasks\\('test'\\) is empty"),
]


@pytest.mark.parametrize("kind, rule, example", BROKEN, ids=[k.__name__ for k, *_ in BROKEN])
def test_each_broken_rule_is_found_with_an_example(kind, rule, example):
    report = check(kind(0), 40)
    found = [f for f in report.findings if rule in f.rule]
    assert len(found) == 1 and not found[0].ok and not report.ok
    assert any(part in found[0].broken for part in example.replace("\\", "").split("|"))
    assert found[0].why in str(report) and "BROKEN" in str(report)


def test_what_cannot_be_played_is_said_to_be_untried():
    report = check(Unfinished(0), 40)
    assert not report.ok and report.skipped == 13 and len(report.findings) == 2
    assert "not tried, for want of episodes: 13 further rules" in str(report)


def test_only_what_is_broken_is_named():
    broken = [f.rule for f in check(Shaped(0), 40).findings if not f.ok]
    assert broken == ["Rewards are 0 or 1, and come with the end."]


def test_too_short_a_look_gets_a_sentence():
    with pytest.raises(UserError, match="at least 10 episodes: 3 show"):
        check(HelpDesk(), 3)


def test_a_log_of_the_house_does_not_depend_on_what_was_played_before():
    house = make_world("house", seed=3)
    first = collect_log(house, house.tasks("train"), 40, seed=0)
    assert collect_log(house, house.tasks("train"), 40, seed=0) == first


# ---- the help desk --------------------------------------------------------------------------


def test_the_help_desk_keeps_the_contract():
    report = check(HelpDesk(1), 80)
    assert report.ok, str(report)


def test_a_ticket_is_closed_well_only_if_all_is_as_it_should_be():
    desk = HelpDesk(0)
    for who, grants in (("staff", True), ("guest", False)):
        account = {"account": "locked", "password": "fine", "access": "missing"}
        task = Task(
            "help desk", "x", f"{who} ana cannot use mail", {"who": who, "account": account}
        )
        for actions, paid in (
            (["close"], 0.0),
            (["show", "close"], 0.0),
            (["show", "unlock", "close"], 0.0 if grants else 1.0),
            (["show", "unlock", "grant", "close"], 1.0),
        ):
            desk.reset(options={"task": task})
            said = [desk.step(action) for action in actions]
            assert said[-1][0] == CLOSED and said[-1][1] == paid, (who, actions)
            refused = said[2][0] == "nothing happens: guests get no access" if len(said) > 3 else 0
            assert bool(refused) == (not grants and len(said) > 3)


def test_what_is_wrong_is_hidden_until_it_is_shown():
    desk = HelpDesk(0)
    desk.reset(options={"task": desk.tasks("test")[0]})
    assert desk.hidden(desk.state, "show") and not desk.hidden(desk.state, "unlock")
    assert desk.step("unlock")[0] == "nothing happens: show it first"
    desk.step("show")
    assert not desk.hidden(desk.state, "show")
    assert desk.step("show")[0] == "nothing happens: it is shown"
