"""The first line of every lesson: threads, switches and plotting style, set on purpose."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from importlib import metadata

from .. import __version__
from ..errors import UserError
from ..machine import SWITCHES, available_memory, set_threads
from . import colab

STYLE = {
    "figure.figsize": (7.0, 4.0),
    "figure.constrained_layout.use": True,
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
}
"""The look of every figure, as matplotlib settings."""


_lesson = ""


def current_lesson() -> str:
    """Return the name of the lesson that this kernel runs; empty before `start`."""
    return _lesson


def start(lesson: str) -> None:
    """Prepare the kernel for a lesson and print one line that says on what it runs.

    Call it in the first code cell, before torch, transformers or trl are imported: they read
    their switches once. Calling it again does no harm. On Colab it first installs what is missing
    there, and prints a line about that too.

    Args:
        lesson: The notebook's name without `.ipynb`; its number opens the line that is printed.

    Raises:
        UserError: If the name is empty, `DREAMGYM_THREADS` is not a number, or Colab's session
            cannot be completed.
    """
    if not lesson.strip():
        raise UserError("Give start() the lesson's name, for example start('00_my_lesson').")
    global _lesson
    _lesson = lesson
    late = [name for name in ("huggingface_hub", "trl") if name in sys.modules]
    if late and any(name not in os.environ for name in SWITCHES):
        warnings.warn(
            f"{' and '.join(late)} was imported before start(), so it may go online. "
            "Restart the kernel and run start() first.",
            stacklevel=2,
        )
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    if colab.here():
        print(colab.complete())
    threads = set_threads()
    for library in ("transformers", "trl", "datasets", "accelerate", "httpx"):
        logging.getLogger(library).setLevel(logging.ERROR)

    import matplotlib  # here, so that numpy finds the threads already set

    matplotlib.rcParams.update(STYLE)
    number = lesson.partition("_")[0]
    print(f"Lesson {number} · {_versions()} · {_count(threads, 'thread')} · {_memory()} free")


def _versions() -> str:
    """Name the versions that decide what a run computes, without importing them."""
    parts = [f"dreamgym_nb {__version__}", "Python {}.{}".format(*sys.version_info)]
    parts += [f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "trl")]
    return " · ".join(parts)


def _count(number: int, noun: str) -> str:
    """Write a number with its noun: 1 thread, 2 threads."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _memory() -> str:
    """Write the free memory in GB (10^9 bytes)."""
    return f"{available_memory() / 1e9:.1f} GB"
