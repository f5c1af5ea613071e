"""The help desk: the world that lesson 11 writes from nothing, in its finished form.

Somebody cannot use something.  An agent looks at the account, mends what is wrong and closes
the ticket.  It is small on purpose: the rules fit one screen, so that what a world owes to
DreamGym (`worlds.base.World`) can be seen whole.  What is wrong with an account is hidden
until one looks.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..experience import Task
from ..worlds.base import FAILURE, WANTED, World, check_splits

PEOPLE = (
    *("ana", "bo", "cy", "dee", "eli", "fay", "gus", "hal", "ida", "jon", "kim", "lee"),
    *("max", "nia", "oda", "pia", "quin", "ray", "sol", "tom", "uma", "vic", "wes", "zoe"),
)
THINGS = ("mail", "chat", "files", "print")
OPEN, CLOSED = "ticket open", "ticket closed"
TEST_SHARE, DAYS = 0.25, 3

Account = dict[str, str]  # what is looked at → how it is, "account" → "locked"
# The command that mends it, and the words for what is wrong and what is right.
RULES = {
    "account": ("unlock", "locked", "open"),
    "password": ("reset", "expired", "fine"),
    "access": ("grant", "missing", "given"),
}
COMMANDS = ("show", *(command for command, *_ in RULES.values()), "close")
WORDS = (*COMMANDS, *THINGS, "call", "open", "ticket", "account", "access")


def line(account: Mapping[str, str]) -> str:
    """An account in one line: ``account locked password fine access given``."""
    return " ".join(f"{what} {how}" for what, how in account.items())


def read_line(state: str) -> Account | None:
    """The account that a state shows; None where it shows none."""
    words = state.split(" ")
    if words[::2] != list(RULES):
        return None
    return dict(zip(words[::2], words[1::2], strict=True))


def wanted(who: str) -> Account:
    """How an account should be: a guest's gets no access."""
    right = {what: right for what, (_, _, right) in RULES.items()}
    return {**right, "access": "missing"} if who == "guest" else right


def trouble(who: str, state: str, action: str) -> str:
    """Why an action cannot work in a state; empty where it works.

    It reads nothing but its arguments, so that the world, its teacher and a
    dream can be held to the same rule.

    Args:
        who: ``"staff"`` or ``"guest"``.
        state: the abstract state.
        action: what is tried.
    """
    if action == "close":
        return ""
    seen, what = read_line(state), _mended_by(action)
    if action == "show":
        return "" if seen is None else "it is shown"
    if what is None:
        return "no such command"
    if seen is None:
        return "show it first"
    if action == "grant" and who == "guest":
        return "guests get no access"
    return "" if seen[what] == RULES[what][1] else f"{what} is {seen[what]}"


def mended(action: str) -> Account:
    """What an action that works puts right: ``{"account": "open"}`` for ``unlock``."""
    what = _mended_by(action)
    return {what: RULES[what][2]} if what else {}


def fold(state: str, action: str, observation: str) -> str:
    """The abstract state: the account as it was shown last."""
    return state if observation.startswith(FAILURE) else observation


def hidden(state: str, action: str) -> bool:
    """Nothing tells how an account is before it is shown."""
    return action == "show" and read_line(state) is None


def teacher(who: str, state: str, action: str) -> str:
    """The trace R*: why the action has the effect that it has."""
    if why := trouble(who, state, action):
        return f"fails {why}"
    if action == "show":
        return "shows the account"
    if action == "close":
        return trace(who, read_line(state) or {})
    what = _mended_by(action)
    return f"{who} {what} {RULES[what][1]} becomes {RULES[what][2]}"


def trace(who: str, account: Mapping[str, str]) -> str:
    """The judge's trace: a line for each part, wanted against got.

    Args:
        who: ``"staff"`` or ``"guest"``.
        account: as it was shown last; empty if it was never shown.
    """
    lines = []
    for what, right in wanted(who).items():
        got = account.get(what, "unseen")
        lines.append(f"{WANTED} {what} {right} got {got} {'yes' if got == right else 'no'}")
    return "\n".join(lines)


def act(who: str, state: str, behaviour: str, rng: np.random.Generator) -> str:
    """What people of all kinds do next, as in any log.

    expert: shows the account, mends what is to be mended, closes the ticket.
    hasty: the same, but one action in three is to close it.
    careless: the same, but two in three are any command.
    lost: the same, but half of the actions are words that are no command, so that
        a dream can learn to refuse what nobody ever saw work.
    """
    seen = read_line(state)
    if behaviour == "hasty" and rng.random() < 1 / 3:
        return "close"
    if behaviour == "careless" and rng.random() < 2 / 3:
        return _pick(rng, COMMANDS[:-1])
    if behaviour == "lost" and rng.random() < 1 / 2:
        return " ".join(_pick(rng, WORDS) for _ in range(int(rng.integers(1, 5))))
    if seen is None:
        return "show"
    wrong = [RULES[what][0] for what, right in wanted(who).items() if seen[what] != right]
    return _pick(rng, wrong) if wrong else "close"


def make_tasks(seed: int) -> dict[str, list[Task]]:
    """Tickets by split; who asks for what is never the same in both.

    Everybody asks again on another day, and something else may be wrong then: what is
    wrong cannot be known from who asks.
    """
    rng = np.random.default_rng(seed)
    asked = list(itertools.product(PEOPLE, THINGS))
    rng.shuffle(asked)
    n = round(len(asked) * TEST_SHARE)
    found: dict[str, list[Task]] = {}
    for split, part in (("test", asked[:n]), ("train", asked[n:])):
        found[split] = []
        for i, (name, thing) in enumerate(part):
            who = _pick(rng, ("staff", "guest"))
            text = f"{who} {name} cannot use {thing}"
            for day in range(DAYS):
                goal = {"who": who, "account": _broken(who, rng)}
                found[split].append(Task("help desk", f"{split}/{i:03d}/{day}", text, goal))
    check_splits(found)
    return found


class HelpDesk(World):
    """The help desk as a world.

    Args:
        seed: which tickets there are.
    """

    name = "help desk"
    max_steps = 8

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._tasks = make_tasks(seed)

    def tasks(self, split: str) -> Sequence[Task]:
        """The tickets of a split."""
        return self._tasks[split]

    @property
    def behaviours(self) -> Mapping[str, float]:
        """See `act`."""
        return {"expert": 0.2, "hasty": 0.3, "careless": 0.3, "lost": 0.2}

    def _begin(self, task: Task) -> str:
        self._account = dict(task.goal["account"])
        return OPEN

    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        who = self.task.goal["who"]
        if why := trouble(who, self.state, action):
            return f"{FAILURE} {why}", 0.0, False, {}
        if action == "close":
            return CLOSED, float(self._account == wanted(who)), True, {}
        self._account |= mended(action)
        return line(self._account), 0.0, False, {}

    def admissible_actions(self) -> list[str]:
        """The commands that would work now."""
        who = self.task.goal["who"]
        return [c for c in COMMANDS if not trouble(who, self.state, c)]

    def fold(self, state: str, action: str, observation: str) -> str:
        """See `fold`."""
        return fold(state, action, observation)

    def hidden(self, state: str, action: str) -> bool:
        """See `hidden`."""
        return hidden(state, action)

    def teacher(self, task: Task, state: str, action: str) -> str:
        """See `teacher`."""
        return teacher(task.goal["who"], state, action)

    def act(self, behaviour: str, rng: np.random.Generator) -> str:
        """See `act`."""
        return act(self.task.goal["who"], self.state, behaviour, rng)


def _mended_by(command: str) -> str | None:
    return next((what for what, (c, *_) in RULES.items() if c == command), None)


def _broken(who: str, rng: np.random.Generator) -> Account:
    """An account with at least one thing to mend."""
    while True:
        account = {what: _pick(rng, (bad, right)) for what, (_, bad, right) in RULES.items()}
        if who == "guest":
            account["access"] = "missing"
        if account != wanted(who):
            return account


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
