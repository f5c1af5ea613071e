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

from ..experiments.grid import SEEDS
from ..experiments.report import RESULTS
from ..experiments.store import Records as Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("docs/pictures")
METHOD, PRACTICE = "grpo_dream", "practice.png"

_MARK = "dreamgym_nb"
_COLOURS = 48

Records = Mapping[str, Sequence[Mapping[str, Any]]]


def recorded(folder: Path = RESULTS) -> Records:
    """The records that the pictures are drawn from, by world: RL in the dream, the full method."""
    found = Store(folder / "runs").all()
    told = {
        world: [found[run] for run in sorted(found) if run.cell == (world, METHOD, "")]
        for world in SEEDS
    }
    return {world: runs for world, runs in told.items() if runs}


def draw(root: Path, found: Records) -> list[Path]:
    """Draw the pictures that are missing, of other records or by other code; return those.

    Args:
        root: The repository.
        found: What `recorded` returns.
    """
    from . import diagram, setup

    drawn = []
    for name, mark in marks(found).items():
        path = root / FOLDER / name
        if path.is_file() and source_of(path) == mark:
            continue
        import matplotlib

        with matplotlib.rc_context(setup.STYLE):
            _write(curves(found) if name == PRACTICE else diagram.loop_diagram(), path, mark)
        drawn.append(path)
    return drawn


def marks(found: Records) -> dict[str, str]:
    """What each picture is of: the diagram of its code, the other of the records, if any."""
    from . import diagram

    code = hashlib.sha256(Path(diagram.__file__).read_bytes()).hexdigest()[:16]
    return {"loop.png": code, **({PRACTICE: fingerprint(found)} if found else {})}


def curves(found: Records) -> Figure:
    """Success over dreamed practice, in the dream and in the real world, for each world."""
    from matplotlib import pyplot

    from . import figures

    fig, axes = pyplot.subplots(1, len(found), figsize=(9, 3), sharey=True, squeeze=False)
    for ax, (world, runs) in zip(axes[0], found.items(), strict=True):
        for i, (label, each) in enumerate(
            (
                ("in the dream, while it learns", [_practised(r) for r in runs]),
                ("in reality, test tasks", [_looked(r) for r in runs]),
            )
        ):
            style = figures.line_style(i)
            for x, success in each:
                ax.plot(x, success, color=style["color"], linewidth=0.8, alpha=0.5)
            mean = [_mean(column) for column in zip(*(y for _, y in each), strict=True)]
            ax.plot(each[0][0], mean, label=label, **style, markevery=max(1, len(mean) // 5))
        ax.set(title=f"{world}, {len(runs)} seeds", xlabel="iteration", ylim=(0, 1))
    axes[0][0].set_ylabel("success")
    axes[0][0].legend(loc="lower right", fontsize=9)
    return fig


def _practised(record: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    """Iterations, and the success of their dreamed episodes."""
    rows = record["history"][METHOD]
    return [row["iteration"] for row in rows], [row["success"] for row in rows]


def _looked(record: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    """Iterations at which reality was looked at, and success there."""
    points = record["curve"][METHOD]
    return [p["iteration"] for p in points], [p["success"] for p in points]


def markdown(found: Records) -> str:
    """The picture of the recorded runs for the README, with its numbers in words."""
    if not found:
        return "No run is recorded yet."
    told, days = [], []
    for world, runs in found.items():
        start = _mean([r["start"]["real"]["success"] for r in runs])
        end = _mean([r["exam"]["real"]["success"] for r in runs])
        dream = _mean([r["exam"]["dream"]["success"] for r in runs])
        told.append(f"{world} {start:.2f} to {end:.2f} (in the dream {dream:.2f})")
        days += [r["date"] for r in runs]
    words = "; ".join(told)
    return (
        f"![Success over iterations of practice in the dream, in {len(found)} worlds: a "
        f"thin line for each seed, a thick one for their mean. In reality: {words}.]"
        f"({(FOLDER / PRACTICE).as_posix()})\n\n"
        f"*Practice in the dream, no real step in RL. Success on test tasks in reality, mean over "
        f"seeds: {words}. Recorded runs, `results/runs/*/{METHOD}`, until {max(days)}.*"
    )


def fingerprint(found: Records) -> str:
    """Short hash of all numbers that the pictures show."""
    shown = [(world, [(_practised(r), _looked(r)) for r in runs]) for world, runs in found.items()]
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
