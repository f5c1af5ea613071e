"""What a real step costs: the same episodes, replayed against the clock.

An expert plays some test tasks first; then only its actions are played again, so that what is
measured is the world and not the one who acts. `python -m dreamgym_nb.course.costs` measures every
generated world and the web in a real Chromium too, and writes `results/step_costs.json`.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from ..errors import UserError
from ..experience import Task, atomic_write, read_record
from ..machine import busy, described

if TYPE_CHECKING:
    from ..worlds import World

RECORD = Path(__file__).parents[2] / "results" / "step_costs.json"
SCHEMA = 1
TEXT, CHROMIUM = "text", "Chromium"

Play = tuple[Task, list[str]]


@dataclass(frozen=True)
class StepCost:
    """What the steps of some episodes took.

    Attributes:
        world: The world's name.
        front: `"text"`, or `"Chromium"` for a real browser.
        episodes: How many were played.
        steps: Real steps in them, the resets not counted.
        seconds: Wall-clock time, the resets included. It grows when the machine is busy.
        cpu_seconds: Processor time of this process and its children, such as a browser's.
    """

    world: str
    front: str
    episodes: int
    steps: int
    seconds: float
    cpu_seconds: float

    @property
    def milliseconds(self) -> float:
        """Of one step, its share of the resets included."""
        return 1000 * self.seconds / self.steps

    @property
    def cpu_milliseconds(self) -> float:
        """Processor time of one step, its share of the resets included."""
        return 1000 * self.cpu_seconds / self.steps

    @property
    def per_second(self) -> float:
        """Steps in a second."""
        return self.steps / self.seconds


def expert_plays(world: World, episodes: int, seed: int = 0) -> list[Play]:
    """Let the expert play the first test tasks, and return what it did.

    Args:
        world: The real world; its steps are counted as always.
        episodes: How many tasks.
        seed: Of the expert's choices.
    """
    rng = np.random.default_rng(seed)
    plays = []
    for task in list(world.tasks("test")[:episodes]):
        world.reset(options={"task": task})
        actions, over = [], False
        while not over:
            actions.append(world.act("expert", rng))
            _, _, terminated, truncated, _ = world.step(actions[-1])
            over = terminated or truncated
        plays.append((task, actions))
    return plays


def measure(world: World, plays: Sequence[Play], front: str = TEXT) -> StepCost:
    """Play given actions again and look at the clock.

    Args:
        world: The world to be measured.
        plays: Tasks and their actions, see `expert_plays`; not empty.
        front: What to call the way in which its pages are made.
    """
    start, cpu = time.perf_counter(), _cpu_seconds()
    for task, actions in plays:
        world.reset(options={"task": task})
        for action in actions:
            world.step(action)
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    return StepCost(world.name, front, len(plays), sum(len(a) for _, a in plays), seconds, cpu)


def _cpu_seconds() -> float:
    """Processor time so far of this process and of its children that still live."""
    used = time.process_time()  # finer than the clock ticks that psutil reads
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            used += times.user + times.system
    return used


def save(costs: Sequence[StepCost], path: Path = RECORD, **facts: object) -> Path:
    """Write a record of measured costs, with the date and the facts of this machine.

    Args:
        costs: What was measured.
        path: Where to.
        facts: Further facts, such as the version of the browser.
    """
    record = {
        "schema": SCHEMA,
        "date": date.today().isoformat(),
        "machine": {**described(), "load": busy(), **facts},
        "costs": [
            {**asdict(c), "seconds": round(c.seconds, 4), "cpu_seconds": round(c.cpu_seconds, 4)}
            for c in costs
        ],
    }
    return atomic_write(path, json.dumps(record, indent=2) + "\n")


def load(path: Path = RECORD) -> tuple[list[StepCost], dict[str, Any]]:
    """Read a record: the costs, and its date and machine.

    Raises:
        UserError: If there is no such record, or it is of another kind.
    """
    if not path.is_file():
        raise UserError(f"There is no record at {path}: run python -m dreamgym_nb.course.costs.")
    content = read_record(path, "step costs", SCHEMA)
    costs = [StepCost(**row) for row in content["costs"]]
    return costs, {"date": content["date"], **content["machine"]}


def measure_all(
    episodes: int = 100, browser_episodes: int = 25, seed: int = 0
) -> tuple[list[StepCost], str]:
    """Measure every generated world as text, and the web in a real Chromium.

    Args:
        episodes: Test tasks of each text world.
        browser_episodes: Test tasks in Chromium: the first of those of the text web.
        seed: Of the worlds and the expert.

    Returns:
        The costs, and the browser's version.

    Raises:
        UserError: If there is no Chromium, or its packages are missing.
    """
    from ..machine import find_chromium
    from ..worlds import WORLDS, make_world
    from ..worlds.chromium import ChromiumWeb

    found = []
    for name in WORLDS:
        world = make_world(name, seed=seed)
        plays = expert_plays(world, episodes, seed)
        found.append(measure(world, plays))
    browser = ChromiumWeb(seed=seed)
    try:
        plays = expert_plays(make_world("web", seed=seed), browser_episodes, seed)
        browser.reset(options={"task": plays[0][0]})  # the start of the browser is paid once
        found.append(measure(browser, plays, CHROMIUM))
    finally:
        browser.close()
    asked = subprocess.run(
        [find_chromium(), "--version"], capture_output=True, text=True, check=True
    )
    return found, asked.stdout.strip()


def main() -> None:
    """Measure, print, and write the record."""
    found, browser = measure_all()
    path = save(found, browser=browser)
    for cost in found:
        print(
            f"{cost.world:6} {cost.front:9} {cost.steps:5} steps "
            f"{cost.milliseconds:9.3f} ms a step, of the processors {cost.cpu_milliseconds:9.3f} ms"
        )
    print(f"Written to {path}.")


if __name__ == "__main__":
    main()
