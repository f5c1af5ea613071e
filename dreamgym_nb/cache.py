"""Where this package keeps on disk what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """``DREAMGYM_CACHE``, else ``~/.cache/dreamgym``; it may not be there yet."""
    named = os.environ.get("DREAMGYM_CACHE", "").strip()
    return Path(named) if named else Path.home() / ".cache" / "dreamgym"
