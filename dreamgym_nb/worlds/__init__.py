"""The real worlds, by name."""

from __future__ import annotations

from typing import Any

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.base import FAILURE, World, collect_log, play
from dreamgym_nb.worlds.house import House
from dreamgym_nb.worlds.shop import Shop

WORLDS: dict[str, type[World]] = {"shop": Shop, "house": House}


def make_world(name: str, **options: Any) -> World:
    """The world of that name.

    Args:
        name: ``"shop"`` or ``"house"``.
        options: passed to the world, such as ``seed``.

    Raises:
        UserError: there is no such world.
    """
    if name not in WORLDS:
        raise UserError(f"There is no world {name!r}; the worlds are {sorted(WORLDS)}.")
    return WORLDS[name](**options)


__all__ = ["FAILURE", "WORLDS", "House", "Shop", "World", "collect_log", "make_world", "play"]
