"""Make beforehand what lessons would train at their first run: `dreamgym warm`.

A classroom, and an image of Binder, should not spend its first minutes training. This fills the
cache that `stock` reads: the experience model and the agent's start of each world, at lesson
size. With `--lessons` it runs whole lessons too, so that all that they train is kept. Each part
is kept as soon as it is done: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UserError
from ..machine import SWITCHES, set_threads
from . import sizes
from .cage import Cage

WORLDS = ("shop", "house", "web")


def warm(
    worlds: Sequence[str] = WORLDS,
    size: str = "lesson",
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Fill the stock of worlds, and tell what was made and what was found.

    Args:
        worlds: Of `WORLDS`.
        size: One of `sizes.SIZES`.
        seed: As in the lessons.
        say: Where progress is told, a line at a time.

    Raises:
        UserError: If a world or the size does not exist.
    """
    if unknown := [name for name in worlds if name not in WORLDS]:
        raise UserError(f"There is no world {unknown[0]!r}: choose among {', '.join(WORLDS)}.")
    sizes.check(size)
    _libraries()
    from . import stock

    say(f"Warming {stock.folder()}: {', '.join(worlds)} at {size} size.")
    for number, name in enumerate(worlds, start=1):
        began = time.perf_counter()
        say(f"[{number} of {len(worlds)}] {name}")
        ready = stock.prepared(name, seed, size, whole=True)
        took = time.perf_counter() - began
        say(f"[{number} of {len(worlds)}] {name}: {len(ready.log):,} episodes, {took:.0f} s")
    say("Warm. Lessons now find this instead of training it.")


def run_lessons(
    notebooks: Sequence[Path],
    size: str = "lesson",
    out: Path = Path("build/warm"),
    say: Callable[[str], None] = print,
) -> int:
    """Run lessons so that everything they train is kept; return how many failed.

    Args:
        notebooks: The lessons.
        size: One of `sizes.SIZES`.
        out: Where the executed copies go.
        say: Where progress is told.

    Raises:
        UserError: If a notebook cannot be run.
    """
    from . import runner

    for path in notebooks:
        runner.check_run(path, size)
    failed = 0
    for number, path in enumerate(notebooks, start=1):
        say(f"[{number} of {len(notebooks)}] {path.stem}")
        try:
            run = runner.run_notebook(path, size, out_dir=out, cage=Cage())
        except runner.LessonFailed as error:
            failed += 1
            say(f"  failed: {error}")
            continue
        say(f"  {run.minutes:.1f} min, {run.peak_mb:.0f} MB")
    return failed


def _libraries() -> None:
    """Import what every lesson imports: bytecode and matplotlib's list of fonts are then there."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    set_threads()
    import matplotlib.pyplot  # noqa: F401
    import transformers  # noqa: F401
