"""The house as text: ALFWorld's commands, and its sentences made short.

`parse_command` reads a command, `describe` turns a sentence of ALFWorld's
grammar into a short observation.  What an agent then knows is in
house_known.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dreamgym_nb.worlds.alfred import DEVICES
from dreamgym_nb.worlds.base import FAILURE
from dreamgym_nb.worlds.furniture import CAN

NAME = r"[a-z]+ [0-9]+"
MIDDLE = "in the middle"
NO_COMMAND = "that is no command"
UNKNOWN_REASON = "that does not work here"
COMMANDS = (
    "commands are: go to, open, close, take from, move to, clean with, heat with, "
    "cool with, slice with, use, examine, look, inventory"
)
_COMMAND = re.compile(
    rf"(?P<verb>go to|open|close|use|examine) (?P<first>{NAME})"
    rf"|(?P<verb2>take|move|heat|cool|clean|slice) (?P<thing>{NAME})"
    rf" (?P<link>from|to|with) (?P<second>{NAME})"
)
_LINKS = {"take": "from", "move": "to"}


class Change(NamedTuple):
    """What a verb makes of a thing, what that undoes, and the kinds of place that do it."""

    becomes: str
    undoes: str
    places: tuple[str, ...]


CHANGES = {
    "heat": Change("hot", "cold", DEVICES["heat"][1]),
    "cool": Change("cold", "hot", DEVICES["cool"][1]),
    "clean": Change("clean", "", DEVICES["clean"][1]),
}

# For each kind of place, and each verb of CHANGES, the kinds of things that it takes.
Rules = Mapping[str, frozenset[str]]


def rules(can_hold: Mapping[str, frozenset[str]]) -> Rules:
    """What a resident knows without looking: what fits where, what can be heated.

    Args:
        can_hold: for each kind of place the kinds of things that fit (`Game.can_hold`).
    """
    can = defaultdict(frozenset, can_hold)
    for verb, (able, _) in DEVICES.items():
        can[verb] = frozenset(kind for kind, abilities in CAN.items() if able in abilities)
    return can


@dataclass(frozen=True)
class Command:
    """A well-formed command: what to do, with which thing, at which place.

    `place` is empty for objects that are used or examined alone.
    """

    verb: str
    thing: str
    place: str


def parse_command(action: str) -> Command | None:
    """Read a command of ALFWorld's grammar; None for anything else.

    ``look``, ``inventory`` and ``help`` have neither thing nor place.
    """
    action = action.strip()
    if action in ("look", "inventory", "help"):
        return Command(action, "", "")
    match = _COMMAND.fullmatch(action)
    if match is None:
        return None
    if match["verb"]:
        return Command(match["verb"], match["first"], "")
    if match["link"] != _LINKS.get(match["verb2"], "with"):
        return None
    return Command(match["verb2"], match["thing"], match["second"])


# ---- from ALFWorld's sentences to short observations ----------------------------------

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), short)
    for pattern, short in (
        (r"-= Welcome.*you see (?P<list>.*?)\.\n.*", "room: {list}"),
        (rf"You arrive at ({NAME})\. On the {NAME}, you see (?P<list>.*)\.", "at {0}: {list}"),
        (rf"You arrive at ({NAME})\. The {NAME} is closed\.", "at {0} closed"),
        (
            rf"You arrive at ({NAME})\. The {NAME} is open\. In it, you see (?P<list>.*)\.",
            "at {0} open: {list}",
        ),
        (rf"You open the ({NAME})\. .* In it, you see (?P<list>.*)\.", "opened {0}: {list}"),
        (rf"You close the ({NAME})\.", "closed {0}"),
        (rf"You pick up the ({NAME}) from the ({NAME})\.", "took {0} from {1}"),
        (rf"You move the ({NAME}) to the ({NAME})\.", "moved {0} to {1}"),
        (rf"You (heat|cool|clean) the ({NAME}) using the ({NAME})\.", "{0}ed {1} with {2}"),
        (rf"You sliced the ({NAME}) with the ({NAME})\.", "sliced {0} with {1}"),
        (rf"You turn on the ({NAME})\.", "turned on {0}"),
        (rf"On the ({NAME}), you see (?P<list>.*)\.", "{0}: {list}"),
        (rf"The ({NAME}) is closed\.", "{0} closed"),
        (rf"The ({NAME}) is open\. In it, you see (?P<list>.*)\.", "{0} open: {list}"),
        (rf"There's nothing special about ({NAME})\.", "{0} is nothing special"),
        (rf"This is a ([a-z ]+?) ({NAME})\..*", "{1} is {0}"),
        (rf"This is a ([a-z ]+?) ({NAME})\. .*", "{1} is {0}"),
        (r"You are carrying: (?P<list>.*)\.", "you carry {list}"),
        (r"You are not carrying anything\.", "you carry nothing"),
        (rf"You are facing the ({NAME}).*", "you face {0}"),
        (r"You are in the middle of a room\..*", "you are in the middle"),
        (r"Available commands:.*", COMMANDS),
    )
)


def describe(raw: str, why: str) -> str:
    """The short observation for a sentence that ALFWorld printed.

    Lists are sorted by name and number: the engine's own order hangs on ids
    that no agent sees.

    Args:
        raw: what the engine printed.
        why: the reason to give where it printed that nothing happens.
    """
    raw = raw.strip()
    if raw == "Nothing happens.":
        return f"{FAILURE} {why or UNKNOWN_REASON}"
    for pattern, short in _RULES:
        match = pattern.fullmatch(raw)
        if match:
            listed = match.groupdict().get("list") or ""
            names = _names(re.findall(NAME, listed))
            return short.format(*match.groups(), list=names)
    return raw.lower()


def _names(items: Iterable[str]) -> str:
    return ", ".join(sorted(items, key=by_name)) or "nothing"


def by_name(item: str) -> tuple[str, int]:
    """Sorts things as people number them: pen 2 before pen 10."""
    name, number, *_ = item.split()
    return name, int(number)
