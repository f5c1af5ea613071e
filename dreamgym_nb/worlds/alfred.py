"""ALFWorld's rules in pure Python: one household game, step by step, text in and text out.

The rules are those of the PDDL domain and the text grammar that every ALFWorld game file
carries; recorded transcripts of the real engine hold this one to the letter
(tests/test_alfred.py).  A game may come from ALFWorld's files (`alfred_games`) or from our
own generator (`households`).

What the domain says and a reader may not expect:

* An openable receptacle must be open to take from it or to put into it, but a fridge cools,
  a microwave heats and a lamp goes on whether something is open or not.
* Using a lamp always turns it on.  Slicing marks a thing as sliced, it makes no slices.
* Receptacles that share a place are all at hand there; none of them can be gone to again.
* Some things of ALFRED lie in two receptacles at once (a pan on a burner of the countertop).
* A list names things by their internal id, and numbers run against that order: the shelf of
  three shelves that is listed first is ``shelf 3``.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from dreamgym_nb.worlds.alfred_layout import TASK_TYPES, Game, Receptacle, Thing

__all__ = ["TASK_TYPES", "Engine", "Game", "Receptacle", "Thing"]

WELCOME = "-= Welcome to TextWorld, ALFRED! =-"
NOTHING_HAPPENS = "Nothing happens."
HELP = """\
Available commands:
  look:                             look around your current location
  inventory:                        check your current inventory
  go to (receptacle):               move to a receptacle
  open (receptacle):                open a receptacle
  close (receptacle):               close a receptacle
  take (object) from (receptacle):  take an object from a receptacle
  move (object) to (receptacle):  place an object in or on a receptacle
  examine (something):              examine a receptacle or an object
  use (object):                     use an object
  heat (object) with (receptacle):  heat an object using a receptacle
  clean (object) with (receptacle): clean an object using a receptacle
  cool (object) with (receptacle):  cool an object using a receptacle
  slice (object) with (object):     slice an object using a sharp object
"""

# Which kinds of receptacle do what to the thing one holds, and which things can slice.
DEVICES = {
    "clean": ("cleanable", ("sink", "sinkbasin")),
    "heat": ("heatable", ("microwave",)),
    "cool": ("coolable", ("fridge",)),
}
_KNIVES = ("knife", "butterknife")

# `examine` says the first of these that holds.
_LOOKS = (
    (("clean", "hot", "sliced"), "This is a hot and clean sliced {}."),
    (("clean", "cool", "sliced"), "This is a cool and clean sliced {}."),
    (("clean", "sliced"), "This is a clean sliced {}."),
    (("hot", "sliced"), "This is a hot sliced {}."),
    (("cool", "sliced"), "This is a cool sliced {}."),
    (("clean", "hot"), "This is a hot and clean {}."),
    (("clean", "cool"), "This is a cool and clean {}."),
    (("hot",), "This is a hot {}."),
    (("clean",), "This is a clean {}."),
    (("cool",), "This is a cold {}."),
)


class Engine:
    """Plays one game.

    Making one costs about as much as a step; `copy` makes an independent one in the same state.

    Args:
        game: the game to play.

    Attributes:
        won: whether the goal holds now.
        held: index of the thing in the agent's hand, or None.
        place: where the agent is.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self._layout = game.layout
        self._start()

    def _start(self) -> None:
        self.place, self.held, self.won = self.game.start, None, False
        self._opened: set[int] = set()
        self._contents = [list(things) for things in self._layout.contents]
        self._moved: dict[int, frozenset[int]] = {}  # places of things that were moved
        self._left: set[tuple[int, int]] = set()  # (thing, receptacle) taken and not put back
        self._marks = {"clean": set(), "hot": set(), "cool": set(self._layout.cool)}
        self._marks |= {"sliced": set(), "on": set()}
        self._actions: dict[str, tuple] | None = None

    def copy(self) -> Engine:
        """An engine in the same state that shares nothing that changes."""
        twin = object.__new__(Engine)
        twin.__dict__.update(self.__dict__)
        twin._opened = set(self._opened)
        twin._contents = [list(things) for things in self._contents]
        twin._moved, twin._left = dict(self._moved), set(self._left)
        twin._marks = {mark: set(things) for mark, things in self._marks.items()}
        return twin

    def reset(self) -> str:
        """Start again; returns the first observation."""
        self._start()
        return f"{WELCOME}\n\n{self._look(first=True)}\n\nYour task is to: {self.game.task}"

    def step(self, command: str) -> tuple[str, bool]:
        """Do `command`; outer blanks do not matter, anything else does.

        Returns:
            The observation and whether the goal holds now.
        """
        command = command.strip()
        action = self._now().get(command) or self._layout.fixed(self.place).get(command)
        if action is None:
            return NOTHING_HAPPENS, self.won
        text = getattr(self, f"_{action[0]}")(*action[1:])
        if action[0] not in ("look", "inventory", "help", "examine", "examine_thing"):
            self._actions = None
            self.won = self._goal_holds()
        return text, self.won

    def admissible(self) -> list[str]:
        """The commands that work now, sorted."""
        return sorted([*self._layout.fixed(self.place), *self._now()])

    def whereabouts(self) -> dict[str, list[str]]:
        """The truth: for each thing where it is, as names of receptacles or ``"hand"``."""
        found: dict[str, list[str]] = {thing.name: [] for thing in self.game.things}
        for receptacle, things in zip(self.game.receptacles, self._contents, strict=True):
            for t in things:
                found[self._name(t)].append(receptacle.name)
        if self.held is not None:
            found[self._name(self.held)].append("hand")
        return found

    # ---- which commands work now: the preconditions of the domain ----------------

    def _now(self) -> dict[str, tuple]:
        """The commands that depend on the state, with what each does."""
        if self._actions is None:
            self._actions = self._list_actions()
        return self._actions

    def _list_actions(self) -> dict[str, tuple]:
        actions: dict[str, tuple] = {}
        receptacles, things = self.game.receptacles, self.game.things
        held = None if self.held is None else things[self.held]
        if held:
            actions[f"examine {held.name}"] = ("examine_thing", self.held)
        for r in self._layout.at.get(self.place, ()):
            name, kind, _, openable = receptacles[r]
            if openable:
                verb = "close" if r in self._opened else "open"
                actions[f"{verb} {name}"] = (verb, r)
            if self._accessible(r):
                if held is None:
                    for t in self._contents[r]:
                        if "pickupable" in things[t].can:
                            actions[f"take {things[t].name} from {name}"] = ("take", t, r)
                elif (kind, held.kind) in self.game.fits:
                    actions[f"move {held.name} to {name}"] = ("move", r)
            for t in self._contents[r]:
                if "toggleable" in things[t].can:
                    actions[f"use {things[t].name}"] = ("use", t)
            if held:
                for verb, (able, kinds) in DEVICES.items():
                    if kind in kinds and able in held.can:
                        actions[f"{verb} {held.name} with {name}"] = (verb, r)
        if held and held.kind in _KNIVES:
            for t, thing in enumerate(things):
                if "sliceable" in thing.can and self.place in self._places(t):
                    actions[f"slice {thing.name} with {held.name}"] = ("slice", t)
        return actions

    def _accessible(self, r: int) -> bool:
        return not self.game.receptacles[r].openable or r in self._opened

    def _places(self, t: int) -> Sequence[int] | frozenset[int]:
        return self._moved.get(t, self.game.things[t].places)

    # ---- what they do: the effects of the domain, the texts of the grammar --------

    def _go(self, r: int) -> str:
        self.place = self.game.receptacles[r].place
        return f"You arrive at {self.game.receptacles[r].name}. {self._examine(r)}"

    def _open(self, r: int) -> str:
        self._opened.add(r)
        return f"You open the {self.game.receptacles[r].name}. {self._examine(r)}"

    def _close(self, r: int) -> str:
        self._opened.remove(r)
        return f"You close the {self.game.receptacles[r].name}."

    def _take(self, t: int, r: int) -> str:
        self._contents[r].remove(t)
        self._left.add((t, r))
        self._moved[t] = frozenset(self._places(t)) - {self.place}
        self.held = t
        return f"You pick up the {self._name(t)} from the {self.game.receptacles[r].name}."

    def _move(self, r: int) -> str:
        t = self.held
        if t not in self._contents[r]:  # a thing of two receptacles may be there already
            insort(self._contents[r], t)
        self._left.discard((t, r))
        self._moved[t] = frozenset(self._places(t)) | {self.place}
        self.held = None
        return f"You move the {self._name(t)} to the {self.game.receptacles[r].name}."

    def _clean(self, r: int) -> str:
        self._marks["clean"].add(self.held)
        return f"You clean the {self._name(self.held)} using the {self.game.receptacles[r].name}."

    def _heat(self, r: int) -> str:
        self._marks["hot"].add(self.held)
        self._marks["cool"].discard(self.held)
        return f"You heat the {self._name(self.held)} using the {self.game.receptacles[r].name}."

    def _cool(self, r: int) -> str:
        self._marks["cool"].add(self.held)
        self._marks["hot"].discard(self.held)
        return f"You cool the {self._name(self.held)} using the {self.game.receptacles[r].name}."

    def _use(self, t: int) -> str:
        self._marks["on"].add(t)
        return f"You turn on the {self._name(t)}."

    def _slice(self, t: int) -> str:
        self._marks["sliced"].add(t)
        return f"You sliced the {self._name(t)} with the {self._name(self.held)}."

    def _help(self) -> str:
        return HELP

    def _inventory(self) -> str:
        if self.held is None:
            return "You are not carrying anything."
        return f"You are carrying: a {self._name(self.held)}."

    def _examine(self, r: int) -> str:
        name = self.game.receptacles[r].name
        if not self._accessible(r):
            return f"The {name} is closed."
        seen = _listing([self._name(t) for t in self._contents[r]])
        if r in self._opened:
            return f"The {name} is open. In it, you see {seen}."
        return f"On the {name}, you see {seen}."

    def _examine_thing(self, t: int) -> str:
        thing = self.game.things[t]
        if "isreceptacleobject" in thing.can:
            inner = _listing([self._name(i) for i in thing.holds])
            return f"This is a normal {thing.name}. In it, you see {inner}."
        for marks, text in _LOOKS:
            if all(t in self._marks[mark] for mark in marks):
                return text.format(thing.name)
        if "sliceable" in thing.can and t in self._marks["sliced"]:
            return f"This is a sliced {thing.name}."
        return f"There's nothing special about {thing.name}."

    def _look(self, first: bool = False) -> str:
        here = self._layout.at.get(self.place, ())
        if not here:  # later on, the grammar asks for receptacles at this very place
            names = [r.name for r in self.game.receptacles] if first else []
            middle = "You are in the middle of a room. Looking quickly around you, you see"
            return f"{middle} {_listing(names)}."
        facing = _listing([self.game.receptacles[r].name for r in here], article="")
        # Of "at this place but not in a receptacle of it" the engine only knows what it has
        # noted itself: things taken out of one of several receptacles that share the place.
        # A thing taken out of two of them is listed twice.
        noted = sorted((t, r) for t, r in self._left if r in here)
        seen = _listing([self._name(t) for t, _ in noted if self.place in self._places(t)])
        return f"You are facing the {facing}. Next to it, you see {seen}."

    def _name(self, t: int) -> str:
        return self.game.things[t].name

    # ---- the goal --------------------------------------------------------------------

    def _goal_holds(self) -> bool:
        shape, thing_kind, other = (part.removesuffix("type") for part in self.game.goal)
        things, receptacles = self.game.things, self.game.receptacles
        if shape == "look":
            return (
                self.held is not None
                and things[self.held].kind == thing_kind
                and any(
                    things[t].kind == other and t in self._marks["on"]
                    for r in self._layout.at.get(self.place, ())
                    for t in self._contents[r]
                )
            )
        mark = {"clean": "clean", "heat": "hot", "cool": "cool"}.get(shape)
        needed = 2 if shape == "two" else 1
        for r, receptacle in enumerate(receptacles):
            if receptacle.kind == other:
                good = (
                    things[t].kind == thing_kind and (mark is None or t in self._marks[mark])
                    for t in self._contents[r]
                )
                if sum(good) >= needed:
                    return True
        return False


def _listing(names: Sequence[str], article: str = "a ") -> str:
    """The grammar's list: ``a x``; ``a x, and a y``; ``a x, a y, and a z``; ``nothing``."""
    if not names:
        return "nothing"
    words = [article + name for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"
