"""What is freed goes back to the system, and a C library that cannot do that is no mishap."""

import ctypes
import platform

import psutil
import pytest

from dreamgym_nb import heap
from dreamgym_nb.heap import c_library

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can do it")
MB = 1 << 20


class Heap(ctypes.Structure):
    """What glibc tells of its heap, malloc.h."""

    names = "arena ordblks smblks apart hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def apart():
    """How many blocks lie outside the heap."""
    ask = c_library().mallinfo2
    ask.restype = Heap
    return ask().apart


@glibc
def test_large_blocks_lie_apart_however_large_those_were_that_were_freed():
    heap.set_large_blocks_apart()
    for _ in range(3):  # after this glibc's own rule would count 16 MB as little
        bytearray(24 * MB)
    before = apart()
    small = [bytearray(heap.LARGE // 2) for _ in range(20)]
    assert apart() == before
    large = [bytearray(16 * MB) for _ in range(20)]
    assert apart() >= before + 10, "but for those that found a gap which other tests had left"
    del small, large
    assert apart() == before


@glibc
def test_what_is_free_is_handed_back():
    blocks = [bytes([i % 256]) * (MB // 16) for i in range(1600)]  # 100 MB, none of them large
    kept = blocks[::40] + blocks[-1:]  # so that the heap cannot shrink from its end
    del blocks
    before = psutil.Process().memory_info().rss
    heap.hand_back()
    assert before - psutil.Process().memory_info().rss > 50 * MB
    assert [b[0] for b in kept] == [i % 256 for i in (*range(0, 1600, 40), 1599)]


def test_without_a_c_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(heap, "c_library", lambda: None)
    heap.set_large_blocks_apart.__wrapped__()
    heap.hand_back()
