"""Random numbers of their own for each part of a run that has one seed.

Two generators with the same seed draw the same numbers: what a cabinet hides would be drawn
with those that chose the action before it.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def generator_for(part: str, seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers have nothing to do with those of other parts.

    Args:
        part: its name; the same part and seed draw the same numbers.
        seed: of the run, at least 0.
        device: where the numbers are drawn.
    """
    words = np.random.SeedSequence([seed, zlib.crc32(part.encode())]).generate_state(2)
    return torch.Generator(device=device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
