"""Who leaves the house's offline log: residents of mixed quality.

They act on what is known (the abstract state), as an agent must: the expert
too has to search for what it wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.base import FAILURE
from dreamgym_nb.worlds.furniture import STAYS
from dreamgym_nb.worlds.house_known import Known, Place
from dreamgym_nb.worlds.house_text import CHANGES, Rules

if TYPE_CHECKING:
    from dreamgym_nb.worlds.house import House

SHARES = {
    "expert": 0.15,
    "exploring": 0.08,
    "careless": 0.32,
    "hasty": 0.3,
    "random": 0.07,
    "invalid": 0.08,
}
"""The usual share of each behaviour in a log."""


def act(house: House, behaviour: str, rng: np.random.Generator) -> str:
    """The next action of a behaviour in the house's present episode.

    expert: searches the places that can hold what is wanted, takes it, heats,
        cools or cleans it if the task says so, brings it where it belongs.
    exploring: the expert, but every third action is a random one.
    careless: the expert, but forgets to heat, cool or clean, takes another
        thing, or brings it to another place.
    hasty: knows what it wants and does not look: takes it where it is not, brings
        what it does not hold, acts on places it is not at, as a policy in
        training does.
    random: any admissible command.
    invalid: the expert, but half of its commands cannot work.

    Raises:
        UserError: there is no such behaviour.
    """
    if behaviour == "expert":
        return _expert(house, rng)
    if behaviour == "exploring":
        return _random(house, rng) if rng.random() < 0.34 else _expert(house, rng)
    if behaviour == "careless":
        return _careless(house, rng)
    if behaviour == "hasty":
        return _hasty(house, rng)
    if behaviour == "random":
        return _random(house, rng)
    if behaviour == "invalid":
        return _invalid(house, rng) if rng.random() < 0.5 else _expert(house, rng)
    raise UserError(f"The house has no behaviour {behaviour!r}; it has {list(SHARES)}.")


def _expert(house: House, rng: np.random.Generator) -> str:
    goal = house.task.goal
    action = plan(house, goal["verb"], goal["thing"], goal["place"], rng)
    # In ALFWorld neighbours share a place: one cannot go to what is at hand, but can look at it.
    refused = bool(house.history) and house.observation.startswith(FAILURE)
    if refused and action.startswith("go to ") and house.history[-1][1] == action:
        return f"examine {action.removeprefix('go to ')}"
    return action


def plan(house: House, verb: str, thing: str, place: str, rng: np.random.Generator) -> str:
    """The next command towards "`verb` a `thing`, at a `place`", from what is known.

    Args:
        house: in the midst of an episode.
        verb: ``put``, ``look``, ``heat``, ``cool``, ``clean`` or ``two``.
        thing: a kind, such as ``"apple"``.
        place: a kind, such as ``"fridge"``.
        rng: for choices that what is known leaves open.
    """
    known = Known.parse(house.state)
    here = known.places.get(known.at)
    held = known.holding.split()[:1] == [thing]
    if known.holding and not held:
        return _put_down(known, house.can, rng)
    if verb == "look":
        lamp = _where(known, place)
        if held or _where(known, thing) is None:
            if lamp is None or (held and known.at != lamp[0].name):
                return _go_or_search(known, lamp, place, house.can, rng)
        if held or (lamp and known.at == lamp[0].name and not lamp[1].endswith(" on")):
            return f"use {' '.join(lamp[1].split()[:2])}"
    elif held:
        return _bring(known, verb, place, house.can, rng)
    goals = [p.name for p in known.places.values() if p.name.startswith(f"{place} ")]
    settled = _goal_of_two(known, thing, goals) if verb == "two" else None
    skip = {settled} if settled else set()
    found = _where(known, thing, skip)
    if found is None:
        return _go_or_search(known, None, thing, house.can, rng)
    where, item = found
    if known.at != where.name:
        return f"go to {where.name}"
    if here is not None and here.door == "closed":
        return f"open {here.name}"
    return f"take {' '.join(item.split()[:2])} from {where.name}"


def _bring(known: Known, verb: str, place: str, can: Rules, rng: np.random.Generator) -> str:
    item, here = known.holding, known.places.get(known.at)
    name = " ".join(item.split()[:2])
    if verb in CHANGES and CHANGES[verb].becomes not in item.split()[2:]:
        tools = [p for p in known.places if p.split()[0] in CHANGES[verb].places]
        if known.at in tools:
            return f"{verb} {name} with {known.at}"
        if tools:
            return f"go to {tools[0]}"
    goals = [p for p in known.places if p.startswith(f"{place} ")]
    if verb == "two":
        best = _goal_of_two(known, item.split()[0], goals)
        goals = [best] if best else goals
    if known.at in goals:
        closed = here is not None and here.door == "closed"
        return f"open {known.at}" if closed else f"move {name} to {known.at}"
    return f"go to {goals[int(rng.integers(len(goals)))]}" if goals else _put_down(known, can, rng)


def _goal_of_two(known: Known, thing: str, goals: list[str]) -> str | None:
    """The place that holds most of the wanted things already, if any holds one."""
    count = {
        g: sum(i.startswith(f"{thing} ") for i in known.places[g].items or ())
        for g in goals
        if g in known.places
    }
    best = max(count, key=count.get, default=None)
    return best if best and count[best] else None


def _where(known: Known, kind: str, skip: set[str] = frozenset()) -> tuple[Place, str] | None:
    """A seen thing of that kind and the place it is in, the present place first."""
    places = sorted(known.places.values(), key=lambda p: p.name != known.at)
    for place in places:
        for item in place.items or ():
            if item.split()[0] == kind and place.name not in skip:
                return place, item
    return None


def _go_or_search(
    known: Known,
    found: tuple[Place, str] | None,
    kind: str,
    can: Rules,
    rng: np.random.Generator,
) -> str:
    if found is not None:
        return f"go to {found[0].name}"
    here = known.places.get(known.at)
    if here is not None and here.door == "closed" and here.items is None:
        return f"open {here.name}"
    new = [p for p in known.places.values() if p.items is None and p.name != known.at]
    likely = [p.name for p in new if kind in can[p.name.split()[0]]]
    names = likely or [p.name for p in new] or [n for n in known.places if n != known.at]
    return f"go to {names[int(rng.integers(len(names)))]}"


def _put_down(known: Known, can: Rules, rng: np.random.Generator) -> str:
    """Get rid of what one holds by mistake, at the next place that takes it."""
    kind, name = known.holding.split()[0], " ".join(known.holding.split()[:2])
    here = known.places.get(known.at)
    fits = [p for p in known.places.values() if kind in can[p.name.split()[0]]]
    if here in fits:
        return f"open {here.name}" if here.door == "closed" else f"move {name} to {here.name}"
    names = [p.name for p in fits] or [n for n in known.places if n != known.at]
    return f"go to {names[int(rng.integers(len(names)))]}"


def _careless(house: House, rng: np.random.Generator) -> str:
    """The expert of a slightly wrong task; which one is fixed for the whole episode."""
    goal, known = house.task.goal, Known.parse(house.state)
    verb, thing, place = goal["verb"], goal["thing"], goal["place"]
    if house.slip is None:
        house.slip = int(rng.integers(1000))
    slip, other = house.slip % 4, house.slip // 4
    seen = [i.split()[0] for p in known.places.values() for i in p.items or ()]
    if known.holding:
        seen.append(known.holding.split()[0])
    others = sorted({k for k in seen if k != thing and k not in STAYS})
    if slip <= 1 and others:
        thing = others[other % len(others)]  # brings another thing
        if known.holding:
            thing = known.holding.split()[0]
    if slip in (1, 2):
        kinds = sorted({p.split()[0] for p in known.places if thing in house.can[p.split()[0]]})
        if kinds and verb != "look":
            place = kinds[other % len(kinds)]  # brings it to another place
    elif slip == 3 and (verb in CHANGES or verb == "two"):
        verb = "put"  # forgets to heat, cool or clean it, or the second one
    near = known.places.get(known.at)
    if near and not known.holding and near.items and near.door != "closed" and rng.random() < 0.15:
        item = near.items[int(rng.integers(len(near.items)))]
        return f"take {' '.join(item.split()[:2])} from {near.name}"
    if known.holding and rng.random() < 0.3:
        kind = known.holding.split()[0]
        if near and near.door != "closed" and kind in house.can[near.name.split()[0]]:
            return f"move {' '.join(known.holding.split()[:2])} to {near.name}"
    return plan(house, verb, thing, place, rng)


def _hasty(house: House, rng: np.random.Generator) -> str:
    """The expert, but half of its steps are blind: things and places that may not be there."""
    if rng.random() < 0.55:
        return _expert(house, rng)
    goal, known = house.task.goal, Known.parse(house.state)
    places = list(known.places)
    here = known.at or places[int(rng.integers(len(places)))]
    thing = _hoped_for(house, known, rng)
    held = " ".join(known.holding.split()[:2])
    targets = [p for p in places if p.startswith(f"{goal['place']} ")]
    target = targets[int(rng.integers(len(targets)))] if targets else f"{goal['place']} 1"
    chance = rng.random()
    if chance < 0.45:
        return f"take {thing} from {here}"
    if chance < 0.65:
        kinds = sorted(k for k in house.can if k not in CHANGES)
        if rng.random() < 0.5:
            kinds = [k for k in kinds if goal["thing"] in house.can[k]]
        where = f"{kinds[int(rng.integers(len(kinds)))]} {int(rng.integers(1, 3))}"
        return f"{'go to' if rng.random() < 0.7 else 'open'} {where}"
    if held and chance < 0.75:
        return f"move {held} to {here}"
    if goal["verb"] == "look" and rng.random() < 0.5:
        return f"use {goal['place']} 1"
    if goal["verb"] in CHANGES and rng.random() < 0.5:
        tools = CHANGES[goal["verb"]].places
        tool = next((p for p in places if p.split()[0] in tools), here)
        return f"{goal['verb']} {held or thing} with {tool}"
    return f"move {held if held and rng.random() < 0.6 else thing} to {target}"


def _hoped_for(house: House, known: Known, rng: np.random.Generator) -> str:
    """A thing that one would like to be here: the wanted one, one seen elsewhere, or any."""
    chance, number = rng.random(), 1 if rng.random() < 0.6 else int(rng.integers(1, 4))
    seen = [" ".join(i.split()[:2]) for p in known.places.values() for i in p.items or ()]
    if chance < 0.25 and seen:
        return seen[int(rng.integers(len(seen)))]
    if chance < 0.5:
        kinds = sorted(frozenset().union(*(k for v, k in house.can.items() if v not in CHANGES)))
        return f"{kinds[int(rng.integers(len(kinds)))]} {number}"
    return f"{house.task.goal['thing']} {number}"


def _random(house: House, rng: np.random.Generator) -> str:
    things = [a for a in house.admissible_actions() if a != "help"]
    # By verb first: "go to" would fill the log otherwise.
    verbs = sorted({a.split()[0] for a in things})
    weights = np.array([{"look": 0.2, "inventory": 0.2, "examine": 0.5}.get(v, 1.0) for v in verbs])
    verb = verbs[int(rng.choice(len(verbs), p=weights / weights.sum()))]
    these = [a for a in things if a.split()[0] == verb]
    return these[int(rng.integers(len(these)))]


def _invalid(house: House, rng: np.random.Generator) -> str:
    """A command that cannot work now, of the kinds that a policy in training tries."""
    known, goal = Known.parse(house.state), house.task.goal
    places = list(known.places)
    seen = [" ".join(i.split()[:2]) for p in known.places.values() for i in p.items or ()]
    things = [*seen, f"{goal['thing']} 1", f"{goal['thing']} 2", *seen]
    if known.holding:
        things += [" ".join(known.holding.split()[:2])] * 3
    place = places[int(rng.integers(len(places)))]
    if known.at and rng.random() < 0.5:
        place = known.at
    thing = things[int(rng.integers(len(things)))]
    verb = str(rng.choice(["heat", "cool", "clean"]))
    pool = [
        f"take {thing} from {place}",
        f"take {goal['thing']} 1 from {place}",
        f"move {thing} to {place}",
        f"open {place}",
        f"close {place}",
        f"{verb} {thing} with {place}",
        f"use {goal['place'] if goal['verb'] == 'look' else 'desklamp'} 1",
        f"go to {known.at or goal['place'] + ' 3'}",
        f"go to {goal['place']} {int(rng.integers(1, 4))}",
        str(
            rng.choice(["", "take", f"go to {goal['place']}", "find it", f"put {thing} in {place}"])
        ),
    ]
    weights = np.array([3, 2, 3, 2, 1, 2, 1, 1, 1, 0.5])
    allowed = set(house.admissible_actions())
    for _ in range(8):
        action = pool[int(rng.choice(len(pool), p=weights / weights.sum()))]
        if action.strip() not in allowed:
            return action
    return "find it"
