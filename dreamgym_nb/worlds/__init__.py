"""The real worlds, by name."""

from __future__ import annotations

from typing import Any

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.base import FAILURE, World, collect_log, play
from dreamgym_nb.worlds.house import House
from dreamgym_nb.worlds.shop import Shop
from dreamgym_nb.worlds.web import Web

WORLDS: dict[str, type[World]] = {"shop": Shop, "house": House, "web": Web}
"""The worlds that are generated, from a seed."""

BENCHMARKS = ("alfworld", "webshop")
"""The worlds on the benchmarks' own data, which a user brings along."""


def make_world(name: str, **options: Any) -> World:
    """The world of that name.

    Args:
        name: ``"shop"``, ``"house"`` or ``"web"``; with the benchmarks' data at
            hand also ``"webshop"`` (`webshop.load_shop`) and ``"alfworld"``
            (`House.from_alfworld`).
        options: passed to the world, such as ``seed``.

    Raises:
        UserError: there is no such world, or a seed below 0.
    """
    if isinstance(seed := options.get("seed", 0), int) and seed < 0:
        raise UserError(f"A seed is a whole number of at least 0, not {seed}.")
    if name == "webshop":
        from dreamgym_nb.worlds.webshop import load_shop

        return load_shop(**options)
    if name == "alfworld":
        return House.from_alfworld(**options)
    if name not in WORLDS:
        raise UserError(
            f"There is no world {name!r}; the worlds are {sorted(WORLDS)}, and with their data "
            f"at hand {list(BENCHMARKS)}."
        )
    return WORLDS[name](**options)


__all__ = [
    "BENCHMARKS",
    "FAILURE",
    "WORLDS",
    "House",
    "Shop",
    "Web",
    "World",
    "collect_log",
    "make_world",
    "play",
]
