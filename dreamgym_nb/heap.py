"""What is freed goes back to the system, where the C library can do that (glibc).

The keys and values of a batch grow while it is written, and each longer block finds the
gaps that the shorter ones left too small: the heap held hundreds of megabytes of gaps.  Large
blocks are asked of the system one by one instead and go back when they are freed; and what
a training leaves of its many small blocks is handed back when it is over.
"""

from __future__ import annotations

import ctypes
import functools

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGE = 4 << 20  # bytes; the activations of a training are smaller, for they come often
KEPT = 64 << 20  # free bytes at the heap's end that stay, as glibc's own rule has it in the end


def c_library() -> ctypes.CDLL | None:
    """The C library of this process; None on Windows, which has none of that name."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


@functools.cache
def share_one_heap() -> None:
    """Let the threads to come take memory from one heap, where the C library can (glibc).

    Otherwise each gets a heap of its own that keeps what it once used: two cores
    dreaming held a quarter more memory, and were no faster for it.
    """
    mallopt = getattr(c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


@functools.cache
def set_large_blocks_apart() -> None:
    """Let blocks of `LARGE` bytes and more never lie in the heap.

    By itself glibc begins so, but counts larger and larger blocks as small ones.
    """
    mallopt = getattr(c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_TRIM_THRESHOLD, KEPT)


def hand_back() -> None:
    """Give free memory back to the system; takes milliseconds."""
    trim = getattr(c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
