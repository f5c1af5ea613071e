"""What is known of the house: the abstract state, and what follows from it.

`Known` says where one is, what one holds and what was seen in each place.
`Known.after` folds an observation into it; `Known.why_not` says why a command
fails, from what is known alone.  All of it is pure, so the same rules serve
real and dreamed observations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dreamgym_nb.worlds.furniture import LAMP, LAMPS, STAYS
from dreamgym_nb.worlds.house_text import (
    CHANGES,
    MIDDLE,
    NAME,
    NO_COMMAND,
    UNKNOWN_REASON,
    Command,
    Rules,
    by_name,
)


@dataclass(frozen=True)
class Place:
    """What is known of a place.

    Attributes:
        name: such as ``"fridge 1"``.
        door: ``"open"``, ``"closed"``, or empty for a place that does not
            close, or whose door was not seen yet.
        items: what was seen in it, with what is known of each thing
            (``"apple 1 hot"``), sorted; None before it was seen.
    """

    name: str
    door: str = ""
    items: tuple[str, ...] | None = None

    def __str__(self) -> str:
        door = f" {self.door}" if self.door else ""
        if self.items is None:
            return f"{self.name}{door} ?"
        return f"{self.name}{door}: {', '.join(self.items) or 'nothing'}"

    @classmethod
    def parse(cls, line: str) -> Place:
        """Read what `str` wrote."""
        head, found, listed = line.partition(":")
        name, number, *rest = head.split()
        door = rest[0] if rest and rest[0] != "?" else ""
        items = tuple(x for x in listed.strip().split(", ") if x != "nothing") if found else None
        return cls(f"{name} {number}", door, items)

    def find(self, thing: str) -> str | None:
        """The item of that name with its properties, if it was seen here."""
        return next((i for i in self.items or () if _bare(i) == thing), None)

    def has(self, kind: str) -> bool:
        """Whether a thing of that kind was seen here."""
        return any(i.startswith(f"{kind} ") for i in self.items or ())

    def with_item(self, item: str) -> Place:
        """This place with one thing more."""
        return replace(self, items=tuple(sorted((*(self.items or ()), item), key=by_name)))

    def without(self, item: str) -> Place:
        """This place with that thing gone."""
        return replace(self, items=tuple(i for i in self.items or () if i != item))


@dataclass(frozen=True)
class Known:
    """The abstract state: where one is, what one holds, what was seen where.

    Attributes:
        at: name of the place, or empty in the middle of the room.
        holding: the thing in one's hand with its properties, or empty.
        places: every place of the room, in the order of the first listing.
    """

    at: str
    holding: str
    places: dict[str, Place]

    def __str__(self) -> str:
        at = f"at {self.at}" if self.at else MIDDLE
        lines = [at, f"holding {self.holding or 'nothing'}", *map(str, self.places.values())]
        return "\n".join(lines)

    @classmethod
    def parse(cls, state: str) -> Known:
        """Read an abstract state."""
        at, holding, *lines = state.split("\n")
        places = [Place.parse(line) for line in lines if re.match(NAME, line)]
        return cls(
            "" if at == MIDDLE else at.removeprefix("at "),
            holding.removeprefix("holding ").replace("nothing", ""),
            {p.name: p for p in places},
        )

    @classmethod
    def begin(cls, observation: str) -> Known:
        """What is known when the episode starts: the names of the places."""
        names = re.findall(NAME, observation)
        return cls("", "", {n: Place(n) for n in names})

    # ---- the rule that folds observations in -------------------------------------------

    def after(self, observation: str) -> Known:
        """What is known after an observation; one that says nothing new changes nothing."""
        for pattern, change in _FOLDS:
            match = pattern.fullmatch(observation)
            if match:
                return change(self, *match.groups())
        return self

    def _put(self, place: Place) -> Known:
        return replace(self, places={**self.places, place.name: place})

    def _see(self, name: str, door: str | None, listed: str | None) -> Known:
        place = self.places.get(name, Place(name))
        items = place.items
        if listed is not None:
            known = {_bare(i): i for i in items or ()}  # a listing does not say what is hot
            names = [x for x in listed.split(", ") if re.fullmatch(NAME, x)]
            items = tuple(known.get(x, x) for x in names)
        return self._put(Place(name, door or "", items))

    def _arrive(self, name: str, door: str | None, listed: str | None) -> Known:
        return replace(self._see(name, door, listed), at=name)

    # What worked at a place says that one is there; ALFWorld has neighbours that share a place.

    def _open(self, name: str, listed: str) -> Known:
        return self._arrive(name, "open", listed)

    def _close(self, name: str) -> Known:
        place = replace(self.places.get(name, Place(name)), door="closed")
        return replace(self._put(place), at=name)

    def _take(self, thing: str, name: str) -> Known:
        place = self.places.get(name, Place(name))
        item = place.find(thing) or thing
        return replace(self._put(place.without(item)), at=name, holding=item)

    def _move(self, thing: str, name: str) -> Known:
        item = self.holding if _bare(self.holding) == thing else thing
        place = self.places.get(name, Place(name)).with_item(item)
        return replace(self._put(place), at=name, holding="")

    def _change(self, verb: str, thing: str, name: str) -> Known:
        if _bare(self.holding) != thing:
            return self
        change = CHANGES[verb]
        words = {*self.holding.split()[2:], change.becomes} - {change.undoes}
        return replace(self, at=name, holding=" ".join([thing, *sorted(words)]))

    def _light(self, lamp: str) -> Known:
        for place in self.places.values():
            if place.find(lamp):
                return self._put(place.without(place.find(lamp)).with_item(f"{lamp} on"))
        return self

    def holds(self, thing: str) -> bool:
        """Whether that thing is in one's hand."""
        return _bare(self.holding) == thing

    def near(self, thing: str) -> bool:
        """Whether that thing was seen where one is and is at hand, its place not closed."""
        here = self.places.get(self.at)
        return here is not None and here.door != "closed" and here.find(thing) is not None

    # ---- why a command fails -------------------------------------------------------------

    def why_not(self, command: Command | None, can: Rules) -> str:
        """Why `command` does nothing here; empty where nothing known speaks against it.

        Args:
            command: parsed, or None for what is no command.
            can: what fits where, and what can be heated, cooled and cleaned.
        """
        if command is None:
            return NO_COMMAND
        verb, thing, place = command.verb, command.thing, command.place
        if verb in ("look", "inventory", "help"):
            return ""
        if verb == "go to":
            return self._why_not_go(thing)
        if verb in ("open", "close"):
            return self._why_not_door(verb, thing)
        if verb in ("use", "examine"):
            return self._why_not_near(verb, thing)
        if verb == "slice":
            return self._why_not_slice(thing, place)
        if verb != "take" and _bare(self.holding) != thing:
            return f"you do not hold {thing}"
        if self.at != place:
            return f"you are not at {place}"
        kind, where = thing.split()[0], place.split()[0]
        if verb in CHANGES:
            if where not in CHANGES[verb].places:
                return f"{place} does not {verb}"
            able = can.get(verb, frozenset())
            return "" if kind in able else f"you cannot {verb} {thing}"
        here = self.places.get(place, Place(place))
        if here.door == "closed":
            return f"{place} is closed"
        if verb == "take":
            if here.find(thing) is None:
                return f"{thing} is not there"
            if kind in STAYS:
                return f"{thing} stays there"
            return f"you hold {_bare(self.holding)}" if self.holding else ""
        # Asked with `get`: what was asked about must not be learned from the question.
        return "" if kind in can.get(where, frozenset()) else f"{place} does not take {thing}"

    def _why_not_go(self, place: str) -> str:
        if place not in self.places:
            return f"there is no {place}"
        return f"you are at {place}" if self.at == place else ""

    def _why_not_door(self, verb: str, place: str) -> str:
        if self.at != place:
            return f"you are not at {place}"
        door = self.places[place].door
        if not door:
            return f"{place} has no door"
        is_open = door == "open"
        return f"{place} is {door}" if is_open == (verb == "open") else ""

    def _why_not_near(self, verb: str, thing: str) -> str:
        here = self.places.get(self.at)
        if verb == "examine" and thing in (self.at, _bare(self.holding)):
            return ""
        lamp = here.find(thing) if here and here.door != "closed" else None
        if verb == "examine":
            if thing in self.places:
                return f"you are not at {thing}"
            return "" if lamp and thing.split()[0] == LAMP else f"you do not hold {thing}"
        if lamp is None:
            return f"{thing} is not here"
        return "" if thing.split()[0] in LAMPS else f"{thing} is no lamp"

    def _why_not_slice(self, thing: str, knife: str) -> str:
        if _bare(self.holding) != knife:
            return f"you do not hold {knife}"
        here = self.places.get(self.at)  # ALFWorld's knives reach into what is closed
        if here is None or here.find(thing) is None:
            return f"{thing} is not here"
        return UNKNOWN_REASON if "knife" not in knife else ""


def _bare(item: str) -> str:
    """The name of a thing without what is known of it."""
    return " ".join(item.split()[:2])


_FOLDS = tuple(
    (re.compile(pattern), change)
    for pattern, change in (
        (rf"at ({NAME})(?: (open|closed))?(?:: (.*))?", Known._arrive),
        (rf"({NAME})(?: (open|closed))?(?:: (.*))?", Known._arrive),  # examined: one is there
        (rf"opened ({NAME}): (.*)", Known._open),
        (rf"closed ({NAME})", Known._close),
        (rf"took ({NAME}) from ({NAME})", Known._take),
        (rf"moved ({NAME}) to ({NAME})", Known._move),
        (rf"(heat|cool|clean)ed ({NAME}) with ({NAME})", Known._change),
        (rf"turned on ({NAME})", Known._light),
    )
)
