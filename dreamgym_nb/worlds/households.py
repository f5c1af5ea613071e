"""Households of our own for the `alfred` engine: seeded, varied, always solvable.

The rules of the generator:

* A household is one room, as in ALFWorld: a kitchen, bedroom, bathroom or living room, with
  some receptacles and some things to pick up.  A bedroom and a living room also have one desk
  lamp, which cannot be picked up and does not count as a thing.
* Receptacles: the room's core first (a kitchen's fridge, microwave, sink basin and
  countertop), the rest drawn by weight up to the most that the room may have of a kind.
* Things: about two of three are of a new kind, drawn by weight among the kinds that fit some
  receptacle of the household; the others repeat a kind that is there, at most three of each.
* Where a thing lies: a kind of receptacle is drawn by the weights of `furniture.LIES`, then one
  of that kind.  So eggs are in the fridge more often than on the table and pens in drawers more
  often than on beds: a model can learn to guess what a closed receptacle holds.
* A thing may be put into the kinds of receptacle that it may lie in, and nowhere else.
* Names, numbers and the order of lists follow ALFWorld: of three cabinets the first is 3.
* Tasks: a household must offer the type that was asked for least so far.  Of the types that it
  offers the one asked for least is next, and so on; then a thing and a target for which
  the goal does not hold at the start.  The games of a household differ in (type, thing,
  target).  The plan is the shortest one and is played before the game is given out.
* Splits: every household belongs to one split, and no two households are equal.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.alfred import TASK_TYPES, Engine, Game, Receptacle, Thing
from dreamgym_nb.worlds.furniture import CAN, FITS, LAMP, LIES, OPENABLE, ROOMS

__all__ = ["ROOMS", "Household", "generate_games"]

MIN_RECEPTACLES, MAX_RECEPTACLES = 4, 25
MIN_OBJECTS, MAX_OBJECTS = 2, 25
MOST_OF_A_KIND = 3
FRUITLESS = 300  # draws in a row without a new household that serves; then we give up
MIDDLE_OF_THE_ROOM = -1

_PUT, _LOOK, _CLEAN, _HEAT, _COOL, _TWO = TASK_TYPES
_SHAPES = dict(zip(TASK_TYPES, ("put", "look", "clean", "heat", "cool", "two"), strict=True))
_DEVICES = {
    _CLEAN: ("clean", "cleanable", "sinkbasin"),
    _HEAT: ("heat", "heatable", "microwave"),
    _COOL: ("cool", "coolable", "fridge"),
}
_TEXTS = {
    _PUT: ("put a {} in {}.", "put some {} on {}."),
    _LOOK: ("look at {} under the {}.", "examine the {} with the {}."),
    _CLEAN: ("put a clean {} in {}.", "clean some {} and put it in {}."),
    _HEAT: ("put a hot {} in {}.", "heat some {} and put it in {}."),
    _COOL: ("put a cool {} in {}.", "cool some {} and put it in {}."),
    _TWO: ("put two {} in {}.", "find two {} and put them in {}."),
}


@dataclass(frozen=True)
class Household:
    """One room with its receptacles and things, both in the order of lists."""

    id: str
    room: str
    receptacles: tuple[Receptacle, ...]
    things: tuple[Thing, ...]


def generate_games(
    seed: int,
    split_sizes: Mapping[str, int],
    receptacles: int | tuple[int, int] = (6, 8),
    objects: int | tuple[int, int] = (5, 8),
    games_per_household: int = 4,
    rooms: Sequence[str] = tuple(ROOMS),
    types: Sequence[str] = TASK_TYPES,
) -> dict[str, list[Game]]:
    """Games in households of our own; the same arguments give the same games.

    Args:
        seed: fixes everything.
        split_sizes: number of games of each split, such as ``{"train": 400, "test": 100}``.
        receptacles: how many a household has, or the least and the most; 4 to 25.
        objects: how many things to pick up, or the least and the most; 2 to 25.
        games_per_household: the most games in one household; fewer where it has fewer tasks.
        rooms: which of `ROOMS` to build.
        types: which of ``alfred.TASK_TYPES`` to ask for, about equally often where rooms allow.

    Returns:
        The games of each split; ``Game.household`` names the household, and no household is
        in two splits.

    Raises:
        UserError: a size or name that the generator does not have, or types that none of the
            rooms can offer.
    """
    sizes = _range("receptacles", receptacles, MIN_RECEPTACLES, MAX_RECEPTACLES)
    counts = _range("objects", objects, MIN_OBJECTS, MAX_OBJECTS)
    _check_names("room", rooms, ROOMS)
    _check_names("task type", types, TASK_TYPES)
    offered = {t for room in rooms for t in ROOMS[room].types}
    if set(types) - offered:
        raise UserError(
            f"None of the rooms {list(rooms)} has tasks of type {sorted(set(types) - offered)}; "
            "add a room or drop the type."
        )
    if games_per_household < 1 or min(split_sizes.values(), default=0) < 0:
        raise UserError("Ask for 1 or more games per household and 0 or more games per split.")
    wishes = _Wishes(sizes, counts, games_per_household, tuple(rooms), tuple(types))
    seen: set[tuple] = set()
    return {
        split: _split(random.Random(f"{seed}/{split}"), f"{split}{seed}", size, wishes, seen)
        for split, size in split_sizes.items()
    }


@dataclass(frozen=True)
class _Wishes:
    """What the caller of `generate_games` asked for, checked."""

    sizes: tuple[int, int]
    counts: tuple[int, int]
    games: int
    rooms: tuple[str, ...]
    types: tuple[str, ...]


def _split(
    rng: random.Random, name: str, size: int, wishes: _Wishes, seen: set[tuple]
) -> list[Game]:
    """The games of one split; `seen` collects all households to keep them different."""
    games: list[Game] = []
    asked: Counter[str] = Counter({t: 0 for t in wishes.types})
    homes = fruitless = 0
    while len(games) < size:
        if fruitless == FRUITLESS:
            raise UserError(
                f"No more different households of {wishes.sizes} receptacles and {wishes.counts} "
                "objects can be found; allow more of either, or ask for fewer games."
            )
        wanted = _least(rng, asked, wishes.types)
        room = rng.choice([r for r in wishes.rooms if wanted in ROOMS[r].types])
        house = _household(
            rng,
            f"{name}-{room}-{homes}",
            room,
            rng.randint(*wishes.sizes),
            rng.randint(*wishes.counts),
        )
        content = (house.room, house.receptacles, house.things)
        if content in seen or not _tasks(house, wanted):
            fruitless += 1
            continue
        seen.add(content)
        homes, fruitless = homes + 1, 0
        games.extend(_games(rng, house, asked, min(wishes.games, size - len(games))))
    return games


def _least(rng: random.Random, asked: Counter[str], types: Sequence[str]) -> str:
    """The type asked for least so far; the draw decides between equals."""
    fewest = min(asked[t] for t in types)
    return rng.choice([t for t in types if asked[t] == fewest])


# ---- a household ---------------------------------------------------------------------


def _household(rng: random.Random, id: str, room: str, size: int, count: int) -> Household:
    """A room with `size` receptacles and `count` things to pick up."""
    rules = ROOMS[room]
    kinds = Counter(rules.core)
    while kinds.total() < size:
        free = [k for k, (_, most) in rules.more.items() if kinds[k] < most]
        kinds[_draw(rng, {k: rules.more[k][0] for k in free})] += 1
    receptacles = tuple(
        Receptacle(name, name.split()[0], place, name.split()[0] in OPENABLE)
        for place, name in enumerate(_numbered(kinds))
    )
    fitting = {k: w for k, w in rules.things.items() if any(r in kinds for r in LIES[k])}
    owned: Counter[str] = Counter()
    while owned.total() < count:
        new = {k: w for k, w in fitting.items() if k not in owned}
        more = {k: 1 for k in owned if owned[k] < MOST_OF_A_KIND}
        fresh = new and (not more or rng.random() < 2 / 3)
        owned[_draw(rng, new if fresh else more)] += 1
    if _LOOK in rules.types:
        owned[LAMP] = 1
    things = tuple(_thing(rng, name, receptacles) for name in _numbered(owned))
    return Household(id, room, receptacles, things)


def _numbered(kinds: Counter[str]) -> list[str]:
    """Names in the order of lists: by kind, then by falling number."""
    return [f"{kind} {n}" for kind in sorted(kinds) for n in range(kinds[kind], 0, -1)]


def _thing(rng: random.Random, name: str, receptacles: Sequence[Receptacle]) -> Thing:
    kind = name.split()[0]
    present = {r.kind for r in receptacles}
    lies = _draw(rng, {r: w for r, w in LIES[kind].items() if r in present})
    place = rng.choice([r.place for r in receptacles if r.kind == lies])
    return Thing(name, kind, (place,), (place,), CAN[kind])


def _draw(rng: random.Random, weights: Mapping[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


# ---- its games -----------------------------------------------------------------------


def _games(rng: random.Random, house: Household, asked: Counter[str], most: int) -> list[Game]:
    """Up to `most` different games of a household; `asked` counts the types."""
    options = {t: options for t in asked if (options := _tasks(house, t))}
    games: list[Game] = []
    while options and len(games) < most:
        type = _least(rng, asked, list(options))
        kind, target = options[type].pop(rng.randrange(len(options[type])))
        if not options[type]:
            del options[type]
        game = Game(
            id=f"{house.id}/{len(games)}",
            type=type,
            task=rng.choice(_TEXTS[type]).format(kind, target),
            goal=(_SHAPES[type], f"{kind}type", f"{target}type"),
            plan=_plan(house, type, kind, target),
            receptacles=house.receptacles,
            things=house.things,
            start=MIDDLE_OF_THE_ROOM,
            fits=FITS,
            household=house.id,
        )
        _play(game)
        asked[type] += 1
        games.append(game)
    return games


def _tasks(house: Household, type: str) -> list[tuple[str, str]]:
    """The (thing, target) of `type` that the household can offer and that are still to do."""
    kinds = sorted({r.kind for r in house.receptacles})
    owned = Counter(t.kind for t in house.things)
    if type == _LOOK:
        return [(k, LAMP) for k in sorted(owned) if k != LAMP and LAMP in owned]
    tasks = []
    for kind in sorted(owned):
        if type in _DEVICES and (
            _DEVICES[type][1] not in CAN[kind] or _DEVICES[type][2] not in kinds
        ):
            continue
        if type == _TWO and owned[kind] < 2:
            continue
        tasks += [
            (kind, target)
            for target in kinds
            if (target, kind) in FITS and not _done(house, type, kind, target)
        ]
    return tasks


def _done(house: Household, type: str, kind: str, target: str) -> bool:
    """Whether the goal holds at the start; nothing is clean, hot or cool then."""
    there = Counter(t.inside[0] for t in house.things if t.kind == kind)
    inside = [n for r, n in there.items() if house.receptacles[r].kind == target]
    return type in (_PUT, _TWO) and max(inside, default=0) >= (2 if type == _TWO else 1)


def _plan(house: Household, type: str, kind: str, target: str) -> tuple[str, ...]:
    """The shortest winning plan."""
    things = [t for t in house.things if t.kind == kind]
    if type == _LOOK:
        lamp = next(t for t in house.things if t.kind == LAMP)
        routes = [
            _Route(house).take(thing).go(lamp.inside[0]).do(f"use {lamp.name}") for thing in things
        ]
        return _shortest(routes)
    targets = [r for r, receptacle in enumerate(house.receptacles) if receptacle.kind == target]
    if type in _DEVICES:
        verb, _, device = _DEVICES[type]
        routes = [
            _Route(house)
            .take(thing)
            .go(d)
            .do(f"{verb} {thing.name} with {receptacle.name}")
            .put(thing, r)
            for thing in things
            for d, receptacle in enumerate(house.receptacles)
            if receptacle.kind == device
            for r in targets
        ]
        return _shortest(routes)
    routes = []
    for r in targets:
        elsewhere = [t for t in things if t.inside[0] != r]
        needed = 1 if type == _PUT else 2 - (len(things) - len(elsewhere))
        for chosen in combinations(elsewhere, needed):
            route = _Route(house)
            for thing in chosen:
                route.take(thing).put(thing, r)
            routes.append(route)
    return _shortest(routes)


class _Route:
    """Writes down the commands of a walk through a household that opens what it must."""

    def __init__(self, house: Household) -> None:
        self.commands: list[str] = []
        self._house, self._at = house, MIDDLE_OF_THE_ROOM
        self._opened: set[int] = set()

    def do(self, command: str) -> _Route:
        self.commands.append(command)
        return self

    def go(self, r: int) -> _Route:
        if self._at != r:
            self._at = r
            self.do(f"go to {self._house.receptacles[r].name}")
        return self

    def reach_into(self, r: int) -> _Route:
        self.go(r)
        if self._house.receptacles[r].openable and r not in self._opened:
            self._opened.add(r)
            self.do(f"open {self._house.receptacles[r].name}")
        return self

    def take(self, thing: Thing) -> _Route:
        name = self._house.receptacles[thing.inside[0]].name
        return self.reach_into(thing.inside[0]).do(f"take {thing.name} from {name}")

    def put(self, thing: Thing, r: int) -> _Route:
        return self.reach_into(r).do(f"move {thing.name} to {self._house.receptacles[r].name}")


def _shortest(routes: Sequence[_Route]) -> tuple[str, ...]:
    return tuple(min((route.commands for route in routes), key=len))


def _play(game: Game) -> None:
    """Hold the generator to its word: the plan wins, and not before its last command."""
    engine = Engine(game)
    won = [engine.step(command)[1] for command in game.plan]
    if sum(won) != 1 or not won[-1]:
        raise RuntimeError(f"The plan of {game.id} does not win: {game.plan}.")


# ---- checks of what the caller asked for -----------------------------------------------


def _range(what: str, asked: int | tuple[int, int], least: int, most: int) -> tuple[int, int]:
    low, high = (asked, asked) if isinstance(asked, int) else asked
    if not least <= low <= high <= most:
        raise UserError(f"A household has {least} to {most} {what}; {asked} was asked for.")
    return low, high


def _check_names(what: str, asked: Sequence[str], known: Sequence[str] | Mapping) -> None:
    unknown = sorted(set(asked) - set(known))
    if unknown or not asked:
        raise UserError(f"There is no {what} {unknown}; choose among {list(known)}.")
