"""The house: ALFWorld's household tasks, with an exact engine in pure Python.

Commands, sentences and rules are ALFWorld's (alfred.py holds the engine).  An
agent sees a short form of the sentences (house_text.py); ALFWorld's own words
are in ``info["raw"]``.  The abstract state says where one is, what one holds
and what was seen in each place, so that it carries what the present sentence
does not show: closed cabinets, a warm cup, a place already searched.

By default the households are generated (households.py).  ALFWorld's own
games come in with ``House.from_alfworld(folder)``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import residents
from dreamgym_nb.worlds.alfred import Engine, Game
from dreamgym_nb.worlds.alfred_games import Games, Head, load_games
from dreamgym_nb.worlds.alfred_layout import grouped
from dreamgym_nb.worlds.base import SPLITS, WANTED, World, check_splits
from dreamgym_nb.worlds.house_known import Known
from dreamgym_nb.worlds.house_text import (
    CHANGES,
    MIDDLE,
    NO_COMMAND,
    Command,
    describe,
    parse_command,
    rules,
)
from dreamgym_nb.worlds.households import generate_games

ALFWORLD_STEPS = 50


class House(World):
    """The house world.

    Args:
        seed: which generated households; tasks follow from it.
        games: games from elsewhere instead of the generated ones, by split.
        receptacles: places in a generated household, a number or (low, high).
        objects: things in a generated household.
        split_sizes: how many games to generate for each split.
        max_steps: step limit.  ALFWorld's is 50, with about 25 places; small
            generated households get 8 steps and 2 for each place.

    Raises:
        UserError: games of one split only, or the same game in both.
    """

    name = "house"
    failing_ends = False

    def __init__(
        self,
        seed: int = 0,
        games: Mapping[str, Sequence[Game]] | None = None,
        receptacles: int | tuple[int, int] = (6, 8),
        objects: int | tuple[int, int] = (5, 8),
        split_sizes: Mapping[str, int] | None = None,
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        if games is None:
            sizes = dict(split_sizes or {"train": 400, "test": 160})
            games = generate_games(seed, sizes, receptacles=receptacles, objects=objects)
            most = receptacles if isinstance(receptacles, int) else receptacles[1]
            max_steps = max_steps or min(ALFWORLD_STEPS, 8 + 2 * most)
        self.max_steps = max_steps or ALFWORLD_STEPS
        self._tasks = {split: Tasks(games[split]) for split in games}
        check_splits(self._tasks)
        self._fits = _fits(games["train"])
        self.forget()
        self.slip: int | None = None  # how a careless resident goes wrong in this episode

    def forget(self) -> None:
        """Begin with the rules as they are: kinds that residents ask for stay in them.

        Hasty residents name any kind of place that they have come across, so without
        this a log would depend on what was played before it.
        """
        self.can = rules(self._fits)

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``"train"`` or ``"test"``; no household is in both."""
        if split not in self._tasks:
            raise UserError(f"There is no split {split!r}; the splits are {SPLITS}.")
        return self._tasks[split]

    # ---- the engine ------------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        self._engine = Engine(self._game(task))
        self.slip = None
        self.raw = self._engine.reset()
        return describe(self.raw, "")

    def _game(self, task: Task) -> Game:
        for tasks in self._tasks.values():
            game = tasks.game(task.id)
            if game is None:
                continue
            if _asks(game) != task.instruction:
                raise UserError(
                    f"The game {task.id!r} of this house asks to {_asks(game)}, not to "
                    f"{task.instruction}: the task is of a house of another size or seed."
                )
            return game
        raise UserError(f"This house has no game {task.id!r}; take a task from house.tasks(split).")

    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        self.raw, won = self._engine.step(action)
        why = Known.parse(self.state).why_not(parse_command(action), self.can)
        return describe(self.raw, why), float(won), won, {}

    def admissible_actions(self) -> list[str]:
        """ALFWorld's admissible commands, sorted."""
        return self._engine.admissible()

    # ---- the abstract state -------------------------------------------------------------

    def fold(self, state: str, action: str, observation: str) -> str:
        """Abstract state: where one is, what one holds, what was seen in each place."""
        if not state:
            return str(Known.begin(observation))
        return str(Known.parse(state).after(observation))

    def hidden(self, state: str, action: str) -> bool:
        """Whether the answer shows what was never seen: the inside of a new place."""
        command = parse_command(action)
        if command is None or command.verb not in ("go to", "open"):
            return False
        known = Known.parse(state)
        place = known.places.get(command.thing)
        unseen = place is not None and place.items is None
        return unseen and not known.why_not(command, self.can)

    # ---- the teacher ----------------------------------------------------------------------

    def teacher(self, task: Task, state: str, action: str) -> str:
        """Trace R*: what is known of the things named, whether it works, wanted against got."""
        command, known = parse_command(action), Known.parse(state)
        if command is None:
            return NO_COMMAND
        why = known.why_not(command, self.can)
        lines = _facts(known, command)
        if why:
            return "\n".join([*lines, f"so {why}"])
        if command.verb in ("go to", "open"):
            seen = known.places[command.thing].items is not None
            lines.append(f"so it works and {'nothing is' if seen else 'all is'} new")
        else:
            lines.append("so it works")
        return "\n".join([*lines, *_judge(task.goal, known, command)])

    # ---- the behaviours of the offline log ---------------------------------------------------

    @property
    def behaviours(self) -> Mapping[str, float]:
        """Shares of a log of mixed quality, see `residents`."""
        return residents.SHARES

    def act(self, behaviour: str, rng: np.random.Generator) -> str:
        """The next action of a behaviour in the present episode, see `residents`."""
        return residents.act(self, behaviour, rng)

    # ---- ALFWorld's own games ------------------------------------------------------------------

    @classmethod
    def from_alfworld(
        cls,
        train: str | os.PathLike[str] | None = None,
        test: str | os.PathLike[str] | None = None,
        max_steps: int = ALFWORLD_STEPS,
    ) -> House:
        """The house on ALFWorld's games, loaded as they are played.

        Args:
            train: a folder of ``game.tw-pddl`` files as ``alfworld-download``
                leaves it (``json_2.1.1/train``), or a packed ``.jsonl(.xz)``; by
                default ``alfworld/train.jsonl.xz`` in the folder DREAMGYM_DATA.
            test: the same for another split (``json_2.1.1/valid_seen``).
            max_steps: step limit.

        In some games the wanted thing lies in two places at once, and counts as lying in the
        one where it belongs while it is still held.  Rewards are ALFWorld's own there too, so
        that a few of them come before the end that the teacher expects.

        Raises:
            UserError: no folder was given and DREAMGYM_DATA names none, or it
                holds no games.
        """
        if (train is None or test is None) and "DREAMGYM_DATA" not in os.environ:
            raise UserError(
                "Say where ALFWorld's games are: pip install alfworld, run alfworld-download, then "
                'House.from_alfworld("…/json_2.1.1/train", "…/json_2.1.1/valid_seen").'
            )
        packed = Path(os.environ.get("DREAMGYM_DATA", "")) / "alfworld"
        games = {
            "train": load_games(train or packed / "train.jsonl.xz"),
            "test": load_games(test or packed / "valid_seen.jsonl.xz"),
        }
        return cls(games=games, max_steps=max_steps)


def _fits(games: Sequence[Game]) -> Mapping[str, frozenset[str]]:
    """What fits where in any of the games: one of them tells only of the kinds that it has.

    Where two games have the same kinds they agree, in ALFWorld as in ours.
    """
    pairs = games.fits if isinstance(games, Games) else set().union(*{g.fits for g in games})
    return grouped(pairs)


class Tasks(Sequence[Task]):
    """The tasks of a sequence of games; no game is decoded before it is played."""

    def __init__(self, games: Sequence[Game]) -> None:
        self.games = games
        self._heads = games.heads if isinstance(games, Games) else games
        self._at = {head.id: i for i, head in enumerate(self._heads)}

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [task_of(head) for head in self._heads[index]]
        return task_of(self._heads[index])

    def game(self, id: str) -> Game | None:
        """The game of that id, if it is one of these."""
        return self.games[self._at[id]] if id in self._at else None


def task_of(game: Game | Head) -> Task:
    """A game as a task; the goal says what to do with what, and where."""
    verb, thing, place = (part.removesuffix("type") for part in game.goal[:3])
    becomes = CHANGES[verb].becomes if verb in CHANGES else ""
    goal = {"verb": verb, "thing": thing, "place": place, "state": becomes}
    return Task("house", game.id, _asks(game), goal)


def _asks(game: Game | Head) -> str:
    """What a game asks for, as an instruction."""
    return game.task.strip().removesuffix(".")


def _facts(known: Known, command: Command) -> list[str]:
    """What is known of the things that a command names; the ground for any verdict.

    Each question repeats the name that it asks about: a small model then finds
    the answer by looking for the same words further up.
    """
    verb, thing, place = command.verb, command.thing, command.place
    at = f"at {known.at}" if known.at else MIDDLE
    holding = f"holding {known.holding or 'nothing'}"
    if verb in ("look", "inventory", "help"):
        return [at, holding]
    if verb == "go to":
        lines = [at, f"{thing} in the room{_mark(thing in known.places)}"]
        if thing not in known.places:
            return lines
        lines.append(f"{thing} here{_mark(thing == known.at)}")
        return [*lines, str(known.places[thing])] if thing != known.at else lines
    if verb in ("open", "close"):
        here = thing == known.at
        lines = [at, f"{thing} here{_mark(here)}"]
        return [*lines, str(known.places[thing])] if here else lines
    if verb in ("use", "examine", "slice"):
        line = str(known.places[known.at]) if known.at in known.places else "nothing is near"
        return [at, holding, line, f"{thing} here{_mark(known.near(thing))}"]
    if verb == "take":
        lines = [at, f"{place} here{_mark(place == known.at)}"]
        if place != known.at:
            return lines
        there = known.near(thing)
        return [*lines, str(known.places[place]), f"{thing} there{_mark(there)}", holding]
    lines = [at, holding, f"{thing} held{_mark(known.holds(thing))}"]
    if known.holds(thing):
        lines.append(f"{place} here{_mark(place == known.at)}")
        if verb == "move" and place == known.at:
            lines.append(str(known.places[place]))
    return lines


def _judge(goal: Mapping[str, Any], known: Known, command: Command) -> list[str]:
    """Wanted against got, for a command that could be the last of its task."""
    thing, place = goal["thing"], goal["place"]
    if goal["verb"] == "look":
        after = {
            "use": known.after(f"turned on {command.thing}"),
            "take": known.after(f"took {command.thing} from {command.place}"),
            "go to": replace(known, at=command.thing),
        }.get(command.verb, known)
        here = after.places.get(after.at)
        if after is known or here is None or not here.has(place):
            return []
        lamps = [i for i in here.items if i.startswith(f"{place} ")]
        lit = any(i.endswith(" on") for i in lamps)
        held = after.holding.split()[:1] == [thing]
        return [
            f"{WANTED} {thing} got {after.holding or 'nothing'}{_mark(held)}",
            f"{WANTED} {place} on got {' and '.join(lamps)}{_mark(lit)}",
        ]
    if command.verb != "move":
        return []
    after = known.after(f"moved {command.thing} to {command.place}").places[command.place]
    lies = f"{WANTED} in {place} got {command.place}{_mark(command.place.startswith(f'{place} '))}"
    if goal["verb"] == "two":
        found = [i for i in after.items or () if i.startswith(f"{thing} ")]
        got = " and ".join(found) or "nothing"
        return [f"{WANTED} two {thing} got {got}{_mark(len(found) >= 2)}", lies]
    item = after.find(command.thing) or command.thing
    lines = [f"{WANTED} {thing} got {item}{_mark(item.startswith(f'{thing} '))}"]
    if goal["state"]:
        words = item.split()[2:]
        got = " ".join(words) or "nothing"
        lines.append(f"{WANTED} {goal['state']} got {got}{_mark(goal['state'] in words)}")
    return [*lines, lies]


def _mark(met: bool) -> str:
    return " yes" if met else " no"
