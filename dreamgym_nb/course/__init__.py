"""What only the notebooks need: set-up, sizes, figures, widgets, links, runner and doctor.

The names below are loaded when first used. That keeps `from dreamgym_nb import course` free of
heavy imports, so that `course.start(...)` can set threads and switches *before* numpy and torch
read them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..machine import available_cpus as available_cpus
    from ..machine import available_memory as available_memory
    from ..machine import set_threads as set_threads
    from .diagram import loop_diagram as loop_diagram
    from .episodes import first_difference as first_difference
    from .episodes import replay as replay
    from .episodes import show_side_by_side as show_side_by_side
    from .episodes import side_by_side_html as side_by_side_html
    from .figures import PALETTE as PALETTE
    from .figures import curve_with_interval as curve_with_interval
    from .figures import line_style as line_style
    from .figures import mean_and_interval as mean_and_interval
    from .figures import show as show
    from .guesser import BeTheModel as BeTheModel
    from .guesser import riddles as riddles
    from .guesser import show_riddle as show_riddle
    from .links import binder_url as binder_url
    from .links import colab_url as colab_url
    from .player import WorldPlayer as WorldPlayer
    from .setup import start as start
    from .sizes import SIZES as SIZES
    from .stock import once as once
    from .stock import prepared as prepared
    from .views import count_tokens as count_tokens
    from .views import page_picture as page_picture
    from .views import show_episode as show_episode
    from .views import show_same_page as show_same_page
    from .widgets import EpisodeStepper as EpisodeStepper
    from .widgets import counting as counting
    from .widgets import progress as progress
    from .widgets import rl_progress as rl_progress

_HOME = {
    "BeTheModel": "guesser",
    "EpisodeStepper": "widgets",
    "PALETTE": "figures",
    "SIZES": "sizes",
    "WorldPlayer": "player",
    "available_cpus": "machine",
    "available_memory": "machine",
    "binder_url": "links",
    "colab_url": "links",
    "count_tokens": "views",
    "counting": "widgets",
    "curve_with_interval": "figures",
    "first_difference": "episodes",
    "line_style": "figures",
    "loop_diagram": "diagram",
    "mean_and_interval": "figures",
    "once": "stock",
    "page_picture": "views",
    "prepared": "stock",
    "progress": "widgets",
    "replay": "episodes",
    "riddles": "guesser",
    "rl_progress": "widgets",
    "set_threads": "machine",
    "show": "figures",
    "show_episode": "views",
    "show_riddle": "guesser",
    "show_same_page": "views",
    "show_side_by_side": "episodes",
    "side_by_side_html": "episodes",
    "start": "setup",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name from its module, the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, so that completion in a notebook finds them."""
    return __all__
