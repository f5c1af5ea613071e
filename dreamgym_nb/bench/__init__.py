"""`dreamgym bench`: how fast this machine dreams, next to how fast it could."""

from dreamgym_nb.bench.command import main

__all__ = ["main"]
