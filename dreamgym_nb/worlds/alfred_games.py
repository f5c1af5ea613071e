"""ALFWorld's games from disk, decoded when they are asked for.

Two sources hold the same games:

* the folder that ``alfworld-download`` makes (``json_2.1.1/train`` and the like), with a
  ``game.tw-pddl`` file for each game: PDDL domain and problem, text grammar, walkthrough;
* packed JSON Lines (``train.jsonl`` or ``train.jsonl.xz``), one game per line with the PDDL
  facts, beside ``can_tables.json(.xz)`` with the shared tables of what may be put where.

All of train is 100 MB as packed text and over 300 MB as Python objects, so that `Games` keeps
only ids, tasks and compressed lines or file names, and the few games used last.

What a game's internal ids mean (``apple_bar__minus_00_dot_39_bar_...``): the part before the
first ``_bar_`` is the name, with "basin" added where the id mentions one; all ids of a name
are sorted and numbered downwards, so that the first of three gets number 3.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, overload

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.alfred_layout import TASK_TYPES, Game, Receptacle, Thing

GAME_FILE = "game.tw-pddl"
CAN_TABLES = "can_tables.json"
KEPT = 128  # decoded games that are kept; an episode batch plays a game several times
HOW_TO_GET = (
    "Get ALFWorld's games with `pip install alfworld` and `alfworld-download`, then give the "
    "folder of a split, such as ~/.cache/alfworld/json_2.1.1/train."
)

_ABILITIES = (
    "pickupable",
    "cleanable",
    "heatable",
    "coolable",
    "sliceable",
    "toggleable",
    "isreceptacleobject",
)
_FACT = re.compile(r"\(\s*(\w+)((?:\s+[^\s()]+)+)\s*\)")
_TASK = re.compile(r'"rhs":\s*"Your task is to: (.*?)"')
_TYPED = re.compile(r"\((objecttype|receptacletype) \?\w+ (\w+)\)")
_CAN = re.compile(r"\(\s*cancontain\s+([^\s()]+)\s+([^\s()]+)\s*\)")
_MARKS = {"isclean": "clean", "ishot": "heat", "iscool": "cool"}

Fact = Sequence[str]


class Head(NamedTuple):
    """What can be said of a game without decoding it; the names are those of `Game`."""

    id: str
    type: str
    task: str
    goal: tuple[str, ...]


class Games(Sequence[Game]):
    """A sequence of games that decodes a game when it is asked for.

    Args:
        heads: one for each game.
        read: decodes the game of an index.
        fits: the pairs (receptacle kind, thing kind) that go together in any of them.

    Attributes:
        heads: id, type, task and goal of each game, at no cost.
        ids: the ids, in order.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        read: Callable[[int], Game],
        fits: frozenset[tuple[str, str]],
    ) -> None:
        self.heads, self.fits = tuple(heads), fits
        self.ids = tuple(head.id for head in heads)
        self._index = {id: i for i, id in enumerate(self.ids)}
        self._read = read
        self._kept: dict[int, Game] = {}

    def __len__(self) -> int:
        return len(self.heads)

    @overload
    def __getitem__(self, index: int) -> Game: ...
    @overload
    def __getitem__(self, index: slice) -> list[Game]: ...
    def __getitem__(self, index: int | slice) -> Game | list[Game]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if index not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[index] = self._read(index)
        return self._kept[index]

    def by_id(self, id: str) -> Game:
        """The game of that id.

        Raises:
            UserError: there is none.
        """
        if id not in self._index:
            raise UserError(f"There is no game {id!r} here; an id looks like {self.ids[0]!r}.")
        return self[self._index[id]]


def load_games(path: str | os.PathLike[str]) -> Games:
    """The games of a folder or a packed file.

    Args:
        path: a folder with ``game.tw-pddl`` files somewhere below it, or a ``.jsonl`` or
            ``.jsonl.xz`` file.  As upstream, a folder's games with movable receptacles or
            slices and those marked unsolvable are left out.

    Raises:
        UserError: nothing is there, no game is found, or a file is damaged.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"There is no {path}. {HOW_TO_GET}")
    games = _from_folder(path) if path.is_dir() else _from_packed(path)
    if not games:
        raise UserError(f"There is no game in {path}. {HOW_TO_GET}")
    return games


# ---- packed JSON Lines -----------------------------------------------------------------


def _from_packed(path: Path) -> Games:
    tables = _can_tables(path.parent)
    heads: list[Head] = []
    lines: list[bytes] = []
    used: set[int] = set()
    for number, line in enumerate(_lines(path), 1):
        try:
            record = json.loads(line)
            heads.append(_packed_head(record))
            tables[record["can"]]
            used.add(record["can"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UserError(
                f"Line {number} of {path} is not a packed game ({error!r}); get the file again."
            ) from error
        lines.append(zlib.compress(line, 1))

    def read(index: int) -> Game:
        record = json.loads(zlib.decompress(lines[index]))
        return _game(heads[index], record["plan"], record["facts"], tables[record["can"]])

    return Games(heads, read, frozenset().union(*(tables[i] for i in used)))


def _packed_head(record: Mapping[str, Any]) -> Head:
    record["plan"], record["facts"]
    return Head(record["id"], intern(record["type"]), record["task"], tuple(record["goal"]))


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            yield from file
    except (lzma.LZMAError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); get the file again.") from error


def _can_tables(folder: Path) -> list[frozenset[tuple[str, str]]]:
    for path in (folder / CAN_TABLES, folder / f"{CAN_TABLES}.xz"):
        if path.exists():
            try:
                tables = json.loads(b"".join(_lines(path)))
            except ValueError as error:
                raise UserError(f"{path} is damaged ({error}); get the file again.") from error
            return [frozenset((_kind(r), _kind(o)) for r, o in table) for table in tables]
    raise UserError(
        f"Packed games need the file {CAN_TABLES}(.xz) in {folder}; copy it there from where "
        "the games came from."
    )


# ---- upstream's folders ----------------------------------------------------------------


def _from_folder(folder: Path) -> Games:
    heads: list[Head] = []
    files: list[Path] = []
    fits: set[tuple[str, str]] = set()
    for file in sorted(folder.rglob(GAME_FILE)):
        if "movable" in str(file.parent) or "Sliced" in str(file.parent):
            continue
        record = _read_json(file)
        if record.get("solvable", True):
            heads.append(_raw_head(file, record))
            files.append(file)
            pairs = _CAN.findall(record["pddl_problem"].lower())
            fits.update((_kind(receptacle), _kind(thing)) for receptacle, thing in pairs)
    tables: dict[frozenset, frozenset] = {}

    def read(index: int) -> Game:
        record = _read_json(files[index])
        facts = list(_raw_facts(record["pddl_problem"]))
        can = frozenset((_kind(f[1]), _kind(f[2])) for f in facts if f[0] == "cancontain")
        return _game(
            heads[index], record.get("walkthrough", ()), facts, tables.setdefault(can, can)
        )

    return Games(heads, read, frozenset(fits))


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); download it again.") from error


def _raw_head(file: Path, record: Mapping[str, Any]) -> Head:
    """The head of a raw game; its id is made of the last three folders, as upstream names them."""
    type = file.parent.parent.name.partition("-")[0]
    task = _TASK.search(record.get("grammar", ""))
    goal = _raw_goal(record.get("pddl_problem", "").lower().partition("(:goal")[2])
    if task is None or goal is None or type not in TASK_TYPES:
        raise UserError(
            f"{file} is not one of ALFWorld's games: its task or goal cannot be read. "
            "Download it again, or move it out of the folder."
        )
    return Head("/".join(file.parts[-4:-1]), intern(type), task[1], goal)


def _raw_goal(goal: str) -> tuple[str, ...] | None:
    """The goal in the shape of `Game.goal`; None where it is none of the six."""
    typed = _TYPED.findall(goal)
    things = [kind for predicate, kind in typed if predicate == "objecttype"]
    targets = [kind for predicate, kind in typed if predicate == "receptacletype"]
    if "(istoggled " in goal:
        return ("look", things[1], things[0]) if len(things) == 2 else None
    if not things or not targets:
        return None
    shapes = [shape for mark, shape in _MARKS.items() if f"({mark} " in goal]
    two = "two" if "(not (=" in goal else "put"
    return (shapes[0] if shapes else two, things[0], targets[0])


def _raw_facts(problem: str) -> Iterator[list[str]]:
    """The facts of a PDDL problem's ``:init``, in lower case."""
    init = problem.lower().partition("(:init")[2].partition("(:goal")[0]
    for name, arguments in _FACT.findall(init):
        yield [name, *arguments.split()]


# ---- from facts to a game ----------------------------------------------------------------


def _game(
    head: Head, plan: Iterable[str], facts: Iterable[Fact], fits: frozenset[tuple[str, str]]
) -> Game:
    """A game from its PDDL facts, the same for both sources.

    Raises:
        UserError: the facts are not those of a game.
    """
    try:
        return _build(head, plan, facts, fits)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"The facts of game {head.id} are damaged ({error!r}); get its file again."
        ) from error


def _build(
    head: Head, plan: Iterable[str], facts: Iterable[Fact], fits: frozenset[tuple[str, str]]
) -> Game:
    of: dict[str, list[Fact]] = {}
    for name, *arguments in facts:
        of.setdefault(name, []).append(arguments)
    kinds = {r: _kind(kind) for r, kind in of.get("receptacletype", ())}
    thing_kinds = {t: _kind(kind) for t, kind in of.get("objecttype", ())}
    names = _names([*kinds, *thing_kinds])
    spots = dict(of.get("receptacleatlocation", ()))
    here = [place for _, place in of.get("atlocation", ())]
    everywhere = {*spots.values(), *here, *(place for _, place in of.get("objectatlocation", ()))}
    place = {spot: i for i, spot in enumerate(sorted(everywhere))}

    receptacles, things = sorted(kinds), sorted(thing_kinds)
    index = {id: i for ids in (receptacles, things) for i, id in enumerate(ids)}
    can: dict[str, set[str]] = {id: set() for id in things}
    for ability in _ABILITIES:
        for (id,) in of.get(ability, ()):
            can.setdefault(id, set()).add(ability)
    openable = {id for (id,) in of.get("openable", ())}
    cool = {id for (id,) in of.get("iscool", ())}
    inside = _grouped(of.get("inreceptacle", ()), index)
    places = _grouped(of.get("objectatlocation", ()), place)
    holds = _grouped(((b, a) for a, b in of.get("inreceptacleobject", ())), index)
    return Game(
        *head,
        plan=tuple(plan),
        receptacles=tuple(
            Receptacle(names[id], kinds[id], place[spots[id]], id in openable) for id in receptacles
        ),
        things=tuple(
            Thing(
                names[id],
                thing_kinds[id],
                inside.get(id, ()),
                places.get(id, ()),
                frozenset(can[id]),
                id in cool,
                holds.get(id, ()),
            )
            for id in things
        ),
        start=place[here[0]],
        fits=fits,
        household="floorplan" + head.id.split("/")[-2].rpartition("-")[2],
    )


def _names(ids: Iterable[str]) -> dict[str, str]:
    """The printed name of each internal id."""
    stems = {id: id.split("_bar_", 1)[0] + "basin" * ("basin" in id) for id in ids}
    left = Counter(stems.values())
    names = {}
    for id in sorted(stems):
        names[id] = intern(f"{stems[id]} {left[stems[id]]}")
        left[stems[id]] -= 1
    return names


def _grouped(pairs: Iterable[Fact], index: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    groups: dict[str, list[int]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(index[value])
    return {key: tuple(sorted(values)) for key, values in groups.items()}


def _kind(name: str) -> str:
    """``AppleType`` as ``apple``."""
    return intern(name.lower().removesuffix("type"))
