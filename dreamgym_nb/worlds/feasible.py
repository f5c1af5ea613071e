"""What an instruction asks for, read by the exact worlds: a measurement, never a selection.

A task generator writes words.  Whether the words ask for something that exists is
known to the generated worlds, and to nobody else: not to the dream, not to the
curriculum, which must find out by trying.  So `feasible` is for reports and lessons.

`asks_as_test` is for hygiene.  It throws out written tasks that ask for what a test
task asks for in other words, which nothing but the world can see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dreamgym_nb.experience import Task
from dreamgym_nb.task_words import words_of
from dreamgym_nb.worlds.base import SPLITS, World
from dreamgym_nb.worlds.catalogue import judge
from dreamgym_nb.worlds.furniture import FITS
from dreamgym_nb.worlds.house import House
from dreamgym_nb.worlds.households import _TEXTS, Household, _tasks
from dreamgym_nb.worlds.shop import Shop
from dreamgym_nb.worlds.sites.forms import refusal
from dreamgym_nb.worlds.sites.schema import Change
from dreamgym_nb.worlds.sites.server import SiteState
from dreamgym_nb.worlds.web import Web
from dreamgym_nb.worlds.web_tasks import instances

Goal = Mapping[str, Any]


def feasible(world: World, task: Task) -> bool | None:
    """Whether what a task asks for can be done, and is not done already.

    Args:
        world: a generated shop, house or web.
        task: of that world, or written for it; its instruction counts, and in a house also
            the household that it begins in (``goal["begins_as"]`` of a written task).

    Returns:
        Also False for what is no sentence of that world; None where the world cannot tell.
    """
    if isinstance(world, Shop):
        return _in_shop(world, task.instruction)
    if isinstance(world, House):
        return _in_house(world, task)
    if isinstance(world, Web):
        return any(_in_web(world.start, task.instruction))
    return None


def is_sentence(world: World, instruction: str) -> bool | None:
    """Whether an instruction is worded as the world words its tasks, feasible or not.

    Returns:
        None where the world cannot tell.
    """
    if isinstance(world, Shop):
        return shop_goal(instruction) is not None if _generated(world) else None
    if isinstance(world, House):
        return next(_readings(instruction), None) is not None
    if isinstance(world, Web):
        templates = (t.text for site in world.start.sites for t in site.templates)
        return any(_pattern(text).fullmatch(instruction) for text in templates)
    return None


def asks_as_test(world: World) -> Callable[[Task], bool]:
    """A rule that says whether a task asks for what a test task of the world asks for.

    In the generated shop no training task asks for a kind of product with the options of a
    test task, whatever its price and attributes; so no written task may.  In the other worlds
    the splits differ by household or by wording, and the words are enough.
    """
    if not (isinstance(world, Shop) and _generated(world)):
        return lambda task: False
    kept = {_bought(task.goal) for task in world.tasks("test")}

    def banned(task: Task) -> bool:
        # As the filter compares words: neither capitals nor blanks make another task of it.
        goal = shop_goal(" ".join(words_of(task.instruction)))
        return goal is not None and _bought(goal) in kept

    return banned


# ---- the shop -----------------------------------------------------------------------------------

_SHOPPING = re.compile(r"find a ((?:\w+ )*)(\w+) with (.+) for at most \$(\d+)")


def shop_goal(instruction: str) -> dict[str, Any] | None:
    """What the shop would check, read off the words; the converse of `instruction_of`."""
    match = _SHOPPING.fullmatch(instruction)
    if match is None:
        return None
    options = [tuple(option.split(" ")) for option in match[3].split(" and ")]
    if any(len(o) != 2 for o in options) or len(dict(options)) < len(options):
        return None
    return {
        "query": match[2],
        "category": ["all", match[2]],
        "nouns": [match[2]],
        "attributes": match[1].split(),
        "options": dict(options),
        "price_upper": float(match[4]),
    }


def _generated(world: Shop) -> bool:
    return shop_goal(world.tasks("train")[0].instruction) is not None


def _bought(goal: Goal) -> tuple[str, tuple[tuple[str, str], ...]]:
    return goal["query"], tuple(sorted(goal["options"].items()))


def _in_shop(world: Shop, instruction: str) -> bool | None:
    if not _generated(world):
        return None
    goal = shop_goal(instruction)
    if goal is None:
        return False
    options = goal["options"]
    return any(
        judge(product, options, goal).score == 1.0
        and all(value in product.options.get(name, ()) for name, value in options.items())
        for product in world.products
    )


# ---- the house ----------------------------------------------------------------------------------


def _readings(instruction: str) -> Iterator[tuple[str, str, str]]:
    """The (type of task, thing, place) that an instruction may mean."""
    for type, texts in _TEXTS.items():
        for text in texts:
            match = _pattern(text.removesuffix(".")).fullmatch(instruction)
            if match and all(word.isalpha() for word in match.groups()):
                yield type, match[1], match[2]


def _in_house(world: House, task: Task) -> bool | None:
    id = task.goal.get("begins_as", task.id)
    found = (world.tasks(split).game(id) for split in SPLITS)
    game = next((game for game in found if game is not None), None)
    if game is None or game.fits != FITS:  # ALFWorld's own rooms have other rules
        return None
    home = Household(game.household, "", game.receptacles, game.things)
    return any(
        (thing, place) in _tasks(home, type) for type, thing, place in _readings(task.instruction)
    )


# ---- the web ------------------------------------------------------------------------------------


def _in_web(site: SiteState, instruction: str) -> Iterator[bool]:
    """For each template that an instruction is worded by, whether it can be done."""
    for template in (template for place in site.sites for template in place.templates):
        match = _pattern(template.text).fullmatch(instruction)
        if match is None:
            continue
        if isinstance(template, Change):
            yield any(
                _can_change(site, template, key, match) for key in _named(site, template, match)
            )
        else:
            asked = instances(site, template, np.random.default_rng(0))
            yield instruction in (text for text, _ in asked)


def _named(site: SiteState, template: Change, match: re.Match[str]) -> Iterator[str]:
    """The records that bear the name in the instruction."""
    plural, by = template.plural, template.named
    for key in site.records[plural]:
        if match["_0"] == (site.value(plural, key, by) if by else site.title(plural, key)):
            yield key


def _can_change(site: SiteState, template: Change, key: str, match: re.Match[str]) -> bool:
    """Whether a visitor can give a record the values of an instruction, and it lacks them."""
    kind, record = site.kinds[template.plural], site.records[template.plural][key]
    drawn = 0
    for field, value in template.wanted:
        if value is None:
            drawn += 1
            value = match[f"_{drawn}"]
            typed = {box.label: value for box in kind.boxes if box.field == field}
            pushed = any(b.field == field and b.value == value for b in kind.buttons)
            refused, edits = refusal(site.records, kind, typed)
            if not pushed and (refused or edits[0][1] != value):
                return False
        if record[field] == value:
            return False
    return True


def _pattern(text: str) -> re.Pattern[str]:
    """A template of instructions as an expression; the group ``_i`` is what fills ``{i}``."""
    counted = iter(range(9))
    parts = re.split(r"(\{\d?\})", text)
    return re.compile(
        "".join(
            f"(?P<_{part[1:-1] or next(counted)}>.+)" if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )
