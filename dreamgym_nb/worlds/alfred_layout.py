"""What an ALFWorld game is: receptacles, things, a task, and tables made from them.

A game is small (some 20 kB for a kitchen of ALFWorld) and never changes; `alfred.Engine` plays
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)


class Receptacle(NamedTuple):
    """A place to put things: ``name`` ("drawer 2"), ``kind`` ("drawer"), where, openable."""

    name: str
    kind: str
    place: int
    openable: bool


class Thing(NamedTuple):
    """An object of a game.

    Attributes:
        name: as printed, "apple 1".
        kind: "apple".
        inside: indices of the receptacles that it lies in.
        places: the places (numbers as `Receptacle.place`) that the game says it is at; they
            matter for slicing and for what ``look`` lists.
        can: what can be done with it: pickupable, cleanable, heatable, coolable, sliceable,
            toggleable, isreceptacleobject.
        cool: whether it is cool at the start.
        holds: indices of the things inside it (a bowl with a spoon); never changes.
    """

    name: str
    kind: str
    inside: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    can: frozenset[str] = frozenset()
    cool: bool = False
    holds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Game:
    """One household with one task.

    Attributes:
        id: unique within its source.
        type: one of `TASK_TYPES`.
        task: the instruction, "put a clean apple in fridge."
        goal: its kind ("put", "two", "clean", "heat", "cool" or "look"), then the type of the
            thing and that of the receptacle or lamp, with ALFRED's ending: "appletype".
        plan: commands that win the game.
        receptacles: in the order of lists.
        things: in the order of lists.
        start: the agent's first place; -1 stands for the middle of the room.
        fits: the pairs (receptacle kind, thing kind) that go together; shared between games.
        household: the household that the game plays in; the same for several games.
    """

    id: str
    type: str
    task: str
    goal: tuple[str, ...]
    plan: tuple[str, ...]
    receptacles: tuple[Receptacle, ...]
    things: tuple[Thing, ...]
    start: int
    fits: frozenset[tuple[str, str]]
    household: str = ""

    @cached_property
    def can_hold(self) -> Mapping[str, frozenset[str]]:
        """For each kind of receptacle, the kinds of thing that may be put there."""
        return grouped(self.fits)

    @cached_property
    def layout(self) -> Layout:
        """What never changes in an episode, made once and shared by all engines of the game."""
        return Layout(self)


def grouped(fits: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Pairs (receptacle kind, thing kind) as, for each receptacle kind, its things."""
    kinds: dict[str, set[str]] = {}
    for receptacle, thing in fits:
        kinds.setdefault(receptacle, set()).add(thing)
    return {receptacle: frozenset(things) for receptacle, things in kinds.items()}


class Layout:
    """Tables of a game that hold for all of its episodes.

    Args:
        game: the game.
    """

    def __init__(self, game: Game) -> None:
        self.at: dict[int, list[int]] = {}  # place -> receptacles there
        for r, receptacle in enumerate(game.receptacles):
            self.at.setdefault(receptacle.place, []).append(r)
        self.contents: list[list[int]] = [[] for _ in game.receptacles]
        for t, thing in enumerate(game.things):
            for r in thing.inside:
                self.contents[r].append(t)
        self.cool = frozenset(t for t, thing in enumerate(game.things) if thing.cool)
        self._game = game
        self._fixed: dict[int, dict[str, tuple]] = {}

    def fixed(self, place: int) -> dict[str, tuple]:
        """The commands that always work at `place`, with what each does."""
        if place not in self._fixed:
            actions: dict[str, tuple] = {
                "help": ("help",),
                "inventory": ("inventory",),
                "look": ("look",),
            }
            for r, receptacle in enumerate(self._game.receptacles):
                if receptacle.place == place:
                    actions[f"examine {receptacle.name}"] = ("examine", r)
                else:
                    actions[f"go to {receptacle.name}"] = ("go", r)
            self._fixed[place] = actions
        return self._fixed[place]
