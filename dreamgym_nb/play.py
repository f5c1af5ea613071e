"""Play any world as the agent: what a person sees and does, and the command ``dreamgym play``.

A person gets what an agent gets: the observation, and the actions that work
now.  `Session` keeps the books for the terminal here and for the widget of
the notebooks (course/player.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import World, make_world

if TYPE_CHECKING:
    from dreamgym_nb.worlds.web import Web

# What stands in an admissible action where one writes something of one's own.
_BLANK = re.compile(r"(?<=\[)(?:words|text|url|answer)(?=\])")

HELP = """\
Type the number of an action, or write an action yourself.
  ?   this help            s   the abstract state
  r   what the environment itself shows (HTML, the simulator's text)
  e   what an expert would do
  n   another task         q   quit"""

BROWSER_HELP = """\
Open it in a browser and do the task there. Then come back here:
type the answer if one was asked for, and press Enter (q quits)."""


def blanks(action: str) -> list[str]:
    """The parts of an admissible action that are to be filled in, such as ``words``."""
    return _BLANK.findall(action)


def fill(action: str, texts: Sequence[str]) -> str:
    """An admissible action with its blanks filled in, from left to right.

    Raises:
        UserError: another number of texts than blanks.
    """
    wanted = blanks(action)
    if len(texts) != len(wanted):
        raise UserError(f"{action} has {len(wanted)} blanks to fill; you gave {len(texts)} texts.")
    left = iter(texts)
    return _BLANK.sub(lambda _: next(left), action)


@dataclass(frozen=True)
class Move:
    """What a person did, and what the world answered."""

    action: str
    observation: str
    reward: float
    failed: bool


class Session:
    """A person's episodes in a world.

    Args:
        world: the real world; its steps are counted as an agent's are.
        task: a task or the id of one; a training task drawn with `seed` when omitted.
        seed: for the choice of tasks.

    Attributes:
        moves: what was done in this episode.
        info: what the world said beside the observation.
        over: whether the episode has ended.
        terminated, truncated: how.

    Raises:
        UserError: there is no such task.
    """

    def __init__(self, world: World, task: Task | str | None = None, seed: int = 0) -> None:
        self.world = world
        self._rng = np.random.default_rng(seed)
        self.start(task)

    def start(self, task: Task | str | None = None) -> None:
        """Start an episode of `task`, or of a training task drawn at random.

        Raises:
            UserError: there is no such task; the present episode then goes on.
        """
        if task is None:
            choices = self.world.tasks("train")
            task = choices[int(self._rng.integers(len(choices)))]
        elif isinstance(task, str):
            task = self.world.task_by_id(task)
        _, self.info = self.world.reset(options={"task": task})
        self.moves: list[Move] = []
        self.terminated = self.truncated = False

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return self.terminated or self.truncated

    def do(self, action: str) -> Move:
        """Take a real step.

        Raises:
            UserError: the episode is over, or a blank of the action is still to be filled in.
        """
        if self.over:
            raise UserError("This episode is over: start another task.")
        if blanks(action) and action in self.info["admissible_actions"]:
            raise UserError(f"Put something of your own for {blanks(action)[0]!r} in {action}.")
        observation, reward, self.terminated, self.truncated, self.info = self.world.step(action)
        self.moves.append(Move(action, observation, reward, self.info["failed"]))
        return self.moves[-1]

    def numbered(self, number: str) -> str:
        """The admissible action of that number, counted from 1.

        Raises:
            UserError: there is no such number.
        """
        choices = self.info["admissible_actions"]
        if not choices:
            raise UserError("This episode is over: start another task.")
        if not 1 <= int(number) <= len(choices):
            raise UserError(
                f"There is no action {number}: the numbers go from 1 to {len(choices)}."
            )
        return choices[int(number) - 1]

    def expert(self) -> str:
        """What an expert would do now.

        Raises:
            UserError: the episode is over.
        """
        if self.over:
            raise UserError("This episode is over: start another task.")
        return self.world.act("expert", self._rng)

    @property
    def outcome(self) -> str:
        """How the episode ended, in a sentence; empty while it goes on."""
        if not self.over:
            return ""
        if self.truncated:
            return f"Cut by the limit of {self.world.max_steps} steps: no reward (truncated)."
        if self.info["success"]:
            return "Success: reward 1 (terminated)."
        return "Failure: it is over, and the reward is 0 (terminated)."

    @property
    def count(self) -> str:
        """The step counter and the bill, in a few words."""
        reward = self.moves[-1].reward if self.moves else 0.0
        return (
            f"Step {len(self.moves)} of at most {self.world.max_steps} · reward {reward:g} · "
            f"real steps in all: {self.world.real_steps}"
        )


# ---- the terminal ----------------------------------------------------------------------


class _Quit(Exception):
    """The person has had enough."""


def play_terminal(session: Session) -> None:
    """Let a person play on standard input and output, until they quit or the input ends."""
    print(f"The {session.world.name}, as an agent sees it. Type ? for help.")
    _show_start(session)
    try:
        while True:
            _turn(session)
    except (_Quit, EOFError):
        print(f"Real steps in all: {session.world.real_steps}.")


def _turn(session: Session) -> None:
    line = _ask("> ")
    commands: dict[str, Callable[[], object]] = {
        "": lambda: None,
        "?": lambda: print(HELP),
        "s": lambda: print(session.world.state),
        "r": lambda: print(session.info["raw"]),
        "e": lambda: print(session.expert()),
        "n": lambda: (session.start(), _show_start(session)),
    }
    try:
        if line in commands:
            commands[line]()
        else:
            session.do(_action(session, line))
            _show(session)
    except UserError as error:
        print(error)


def _action(session: Session, line: str) -> str:
    """The action that a line means: the one of that number, or what was written."""
    if not line.isdecimal():
        return line
    action = session.numbered(line)
    return fill(action, [_ask(f"{blank}: ") for blank in blanks(action)])


def _ask(prompt: str) -> str:
    line = input(prompt).strip()
    if line == "q":
        raise _Quit
    return line


def _show_start(session: Session) -> None:
    print(f"\nTask {session.world.task.id}: {session.world.task.instruction}")
    _show(session)


def _show(session: Session) -> None:
    print(f"\n{session.world.observation}\n\n{session.count}")
    if session.over:
        print(f"{session.outcome} Type n for another task, q to quit.")
    for number, action in enumerate(session.info["admissible_actions"], start=1):
        print(f"{number:4}  {action}")


# ---- the browser -----------------------------------------------------------------------


class Watched:
    """The sites as a person visits them; remembers the last page that was shown.

    Args:
        world: a web world in the midst of an episode, whose sites are shown and changed.

    Attributes:
        url: path and query of that page.
    """

    def __init__(self, world: Web) -> None:
        self.world = world
        self.url = "/"

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request, as WSGI wants it."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            html = dict(headers).get("Content-Type", "").startswith("text/html")
            if html and status.startswith("200") and environ["REQUEST_METHOD"] == "GET":
                query = environ.get("QUERY_STRING", "")
                self.url = environ["PATH_INFO"] + (f"?{query}" if query else "")
            return start_response(status, headers, *rest)

        return self.world.site.wsgi_app(environ, start)


def play_browser(session: Session) -> None:
    """Serve the web world to a person's own browser, and check the task when they come back."""
    from dreamgym_nb.worlds.sites.loopback import Loopback

    watched = Watched(session.world)
    with Loopback(watched) as server:
        try:
            while True:
                print(f"\nTask: {session.world.task.instruction}\nServed at {server.url}/")
                print(BROWSER_HELP)
                answer = _ask("answer> ")
                there = session.do(f"goto [{watched.url}]")  # the check looks where the person is
                session.do(f"stop [{answer}]")
                if there.failed:
                    print(f"No action leads to {watched.url}, so the home page was checked.")
                print(f"You were at {watched.url}. {session.outcome}")
                _ask("Press Enter for another task, q to quit. ")
                session.start()
                watched.url = "/"
        except (_Quit, EOFError):
            print("The sites are closed.")


# ---- the command -----------------------------------------------------------------------


def play(name: str, seed: int = 0, task: str | None = None, *, browser: bool = False) -> None:
    """Let a person play a world by name; this is ``dreamgym play``.

    Args:
        name: of the world, see `worlds.make_world`.
        seed: which generated world; also draws the tasks.
        task: id of the first task; drawn when omitted.
        browser: show the sites of the web in the person's own browser.

    Raises:
        UserError: there is no such world or task, or the world has no browser.
    """
    if browser and name != "web":
        raise UserError(f"Only the web opens in a browser: play the {name} without --browser.")
    options = {} if name == "alfworld" else {"seed": seed}  # its games are given, not drawn
    session = Session(make_world(name, **options), task, seed)
    if browser:
        play_browser(session)
    else:
        play_terminal(session)
