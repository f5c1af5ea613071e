"""(c) Real worlds' steps per second: an expert's actions, played again.

The measuring is `course.costs`'s.  Worlds that this machine cannot run are
named with the reason.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from dreamgym_nb.bench.measure import Say, digits
from dreamgym_nb.bench.scenes import SEED
from dreamgym_nb.course import costs
from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import BENCHMARKS, WORLDS, World, make_world

# The benchmarks' own engines; they are large, and no dependency of the project.
ENGINES = {"ALFWorld's own engine": "textworld", "WebShop's own engine": "web_agent_site"}


@dataclass(frozen=True)
class Size:
    """How much is played.

    Attributes:
        episodes: of each text world.
        browser_episodes: in Chromium; 0 leaves it out.
        rounds: how often.
    """

    episodes: int = 60
    browser_episodes: int = 5
    rounds: int = 3


SIZES = {"smoke": Size(5, 0, 2), "full": Size()}


@contextlib.contextmanager
def _opened(name: str) -> Iterator[World]:
    """A world by its name, closed afterwards; the web in Chromium is one more."""
    if name == "web in Chromium":
        from dreamgym_nb.worlds.chromium import ChromiumWeb

        world: World = ChromiumWeb(seed=SEED)
    else:
        world = make_world(name) if name in BENCHMARKS else make_world(name, seed=SEED)
    try:
        yield world
    finally:
        world.close()


def absent(size: Size) -> dict[str, str]:
    """The worlds that cannot be measured here, each with the reason."""
    reasons = {}
    if not size.browser_episodes:
        reasons["web in Chromium"] = "left out at this size"
    else:
        try:
            from dreamgym_nb.worlds.browser_thread import require_browser

            require_browser()
        except UserError as error:
            reasons["web in Chromium"] = str(error)
    if not os.environ.get("DREAMGYM_DATA"):
        reasons |= {name: "its data is not here: DREAMGYM_DATA is not set" for name in BENCHMARKS}
    for engine, package in ENGINES.items():
        found = find_spec(package) is not None
        reasons[engine] = "installed, but the bench cannot drive it" if found else "not installed"
    return reasons


def measure(size: Size, say: Say) -> dict[str, Any]:
    """Play every world that is here, in turn, several times."""
    reasons = absent(size)
    names = [n for n in (*WORLDS, "web in Chromium", *BENCHMARKS) if n not in reasons]
    rows = {}
    with contextlib.ExitStack() as stack:
        opened = {}
        for name in names:
            try:
                opened[name] = stack.enter_context(_opened(name))
            except UserError as error:  # its data is not complete, say
                reasons[name] = str(error)
        plays = {}
        for name, world in opened.items():
            browser = name == "web in Chromium"
            expert = make_world("web", seed=SEED) if browser else world
            episodes = size.browser_episodes if browser else size.episodes
            plays[name] = costs.expert_plays(expert, episodes, SEED)
            costs.measure(world, plays[name][:1])  # what is only paid once
        found: dict[str, list[costs.StepCost]] = {name: [] for name in opened}
        for number in range(size.rounds):
            for name in list(opened) if number % 2 == 0 else list(opened)[::-1]:
                found[name].append(costs.measure(opened[name], plays[name]))
        for name, taken in found.items():
            wall = statistics.median(c.milliseconds for c in taken)
            rows[name] = {
                "per_second": digits(1000 / wall),
                "milliseconds": digits(wall),
                "cpu_milliseconds": digits(statistics.median(c.cpu_milliseconds for c in taken)),
                "steps": taken[0].steps,
                "rounds": len(taken),
            }
            say(f"    {name}: {rows[name]['per_second']:.4g} steps a second")
    return {"worlds": rows, "absent": reasons, "ratios": {}}
