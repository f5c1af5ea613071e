"""The README's pictures, made from recorded runs: `make doors` draws them again.

Each PNG says inside which records it was drawn from, so that a test notices when these have
changed. They are small: a few colours, some ten kilobytes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("docs/pictures")
RUNS = {"shop": "first_light", "house": "first_light_house", "web": "first_light_web"}
"""World to the name of its recorded runs."""

_MARK = "dreamgym_nb"
_COLOURS = 48

Records = Mapping[str, Sequence[Mapping[str, Any]]]


def recorded(folder: Path = results.RESULTS) -> Records:
    """The records that the pictures are drawn from, by world."""
    return {world: results.records(name, folder) for world, name in RUNS.items()}


def draw(root: Path, found: Records) -> list[Path]:
    """Draw the pictures that are missing or of other records; return those.

    Args:
        root: The repository.
        found: What `recorded` returns.
    """
    from . import diagram, setup

    drawn = []
    for name, make in {
        "loop.png": lambda: diagram.loop_diagram(),
        "first_light.png": lambda: curves(found),
    }.items():
        path, mark = root / FOLDER / name, fingerprint(found)
        if path.is_file() and source_of(path) == mark:
            continue
        import matplotlib

        with matplotlib.rc_context(setup.STYLE):
            _write(make(), path, mark)
        drawn.append(path)
    return drawn


def curves(found: Records) -> Figure:
    """Success over dreamed practice, in the dream and in the real world, for each world."""
    from matplotlib import pyplot

    from . import figures

    fig, axes = pyplot.subplots(1, len(found), figsize=(9, 3), sharey=True)
    for ax, (world, runs) in zip(axes, found.items(), strict=True):
        x, success = results.curves(runs)
        for i, (where, label) in enumerate((("dream", "in the dream"), ("real", "in reality"))):
            style = figures.line_style(i)
            for row in success[where]:
                ax.plot(x, row, color=style["color"], linewidth=0.8, alpha=0.5)
            ax.plot(x, success[where].mean(axis=0), label=label, **style)
        ax.set(title=f"{world}, {len(runs)} seeds", xlabel="iteration", ylim=(0, 1))
    axes[0].set_ylabel("success on test tasks")
    axes[0].legend(loc="lower right", fontsize=9)
    return fig


def markdown(found: Records) -> str:
    """The picture of the recorded runs for the README, with its numbers in words."""
    told, days = [], []
    for world, runs in found.items():
        start = _mean([r["start"]["real"]["success"] for r in runs])
        end = _mean([r["end"]["real"]["success"] for r in runs])
        dream = _mean([r["end"]["dream"]["success"] for r in runs])
        told.append(f"{world} {start:.2f} to {end:.2f} (in the dream {dream:.2f})")
        days += [r["date"] for r in runs]
    words = "; ".join(told)
    return (
        f"![Success on test tasks over iterations of practice in the dream, in three worlds: a "
        f"thin line for each seed, a thick one for their mean. In reality: {words}.]"
        f"({(FOLDER / 'first_light.png').as_posix()})\n\n"
        f"*Practice in the dream, no real step in training. Success in reality, mean over seeds: "
        f"{words}. Recorded runs, `results/first_light*`, until {max(days)}.*"
    )


def fingerprint(found: Records) -> str:
    """Short hash of all numbers that the pictures show."""
    shown = [(world, [r["curve"] for r in runs]) for world, runs in found.items()]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def source_of(path: Path) -> str:
    """The fingerprint of the records that a picture was drawn from."""
    from PIL import Image

    with Image.open(path) as picture:
        return picture.text.get(_MARK, "")


def _write(fig: Figure, path: Path, mark: str) -> None:
    from matplotlib import pyplot
    from PIL import Image, PngImagePlugin

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, facecolor="white")
    pyplot.close(fig)
    small = Image.open(buffer).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    told = PngImagePlugin.PngInfo()
    told.add_text(_MARK, mark)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    small.save(unfinished, format="png", optimize=True, pnginfo=told)
    os.replace(unfinished, path)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
