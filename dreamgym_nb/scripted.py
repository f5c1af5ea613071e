"""Functions of tensors that run without Python's lock.

Each operation that Python asks of torch gives the interpreter's lock away and takes it
back.  Threads that write some rows each (`team`) do so hundreds of times for a pass,
and wait for each other each time.  As TorchScript the same function is one call: the
threads meet at its end only, and one thread alone is quicker too.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def scripted(function: F) -> F:
    """`function` as one call without Python's lock; `function` itself on a GPU.

    It is compiled at the first call.  There is nothing to gain on a GPU, whose
    kernels run beside Python anyway.

    Args:
        function: its first argument is a tensor; it uses of Python only what TorchScript
            knows, and its arguments that are no tensors are annotated.
    """

    @functools.cache
    def compiled() -> Any:
        with warnings.catch_warnings():
            # torch would rather compile with a C++ compiler, which learners do not have.
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.script(function)

    @functools.wraps(function)
    def call(first: torch.Tensor, *rest: Any) -> Any:
        return (compiled() if first.device.type == "cpu" else function)(first, *rest)

    return call
