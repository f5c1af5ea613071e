"""Clocks, memory and arithmetic: what every section of the bench measures with.

Ways of doing the same work take turns within each round, so that a busy moment
of the machine hits all of them, and a ratio is taken within a round before the
median over the rounds.  Each way does its work once before the clock starts,
and in that run its memory is watched.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from transformers import PretrainedConfig

from dreamgym_nb.heap import hand_back

MEMORY_METHOD = "sampling thread every 5 ms in an untimed run, growth over the start"
GAIN = 1.5  # a recorded ratio from here on claims a gain: see `regressions`
GENEROUS = 0.4  # share of a recorded ratio that is still no regression
Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """One way of doing some work.

    Attributes:
        run: does it once; returns how many units of work that was.
        prepare: what must be made anew before each run, off the clock; its
            result is given to `run`.
    """

    run: Callable[[Any], float]
    prepare: Callable[[], Any] = lambda: None


@dataclass
class Rounds:
    """What the rounds of one way took, per unit of work.

    Attributes:
        seconds: wall-clock time of one unit, one value for each round.
        cpu: processor time of all threads, likewise; steadier on a busy machine.
        units: of work in the last round.
        memory_mb: growth of the process's memory in the run before the rounds.
    """

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    units: float = 0.0
    memory_mb: float = 0.0

    def to_json(self, floor: float | None = None) -> dict[str, float]:
        """Medians; with the arithmetic floor of one unit in seconds, the share of it too."""
        wall, cpu = statistics.median(self.seconds), statistics.median(self.cpu)
        row = {
            "per_second": digits(1 / wall),
            "per_cpu_second": digits(1 / max(cpu, 1e-9)),
            "milliseconds": digits(1000 * wall),
            "cpu_milliseconds": digits(1000 * cpu),
            "units": self.units,
            "rounds": len(self.seconds),
            "memory_mb": digits(self.memory_mb),
        }
        if floor is not None:
            row["floor_milliseconds"] = digits(1000 * floor)
            row["times_floor"] = digits(wall / floor)
            # By processor time, a busy machine hides less of it.
            row["cpu_times_floor"] = digits(cpu / torch.get_num_threads() / floor)
        return row


def digits(x: float) -> float:
    """`x` to four significant digits, which is more than a measurement holds."""
    return float(f"{x:.4g}")


def take_turns(ways: Mapping[str, Way], rounds: int, say: Say) -> dict[str, Rounds]:
    """Measure all ways, one after the other in each round.

    Every second round goes backwards, so that no way always follows the same one.
    """
    found = {name: Rounds() for name in ways}
    for name, way in ways.items():
        given = way.prepare()
        found[name].memory_mb, _ = memory_growth(lambda w=way, g=given: w.run(g))
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            given = ways[name].prepare()
            gc.collect()  # not on the clock, and not the rubbish of another way
            start, cpu = time.perf_counter(), time.process_time()
            units = ways[name].run(given)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            found[name].seconds.append(wall / units)
            found[name].cpu.append(cpu / units)
            found[name].units = units
        told = ", ".join(f"{n} {r.seconds[-1] * 1000:.3g}" for n, r in found.items())
        say(f"    round {number + 1} of {rounds}, ms each: {told}")
    return found


def ratio(slow: Rounds, fast: Rounds) -> dict[str, float]:
    """How many times `fast` is faster: the median over the rounds, by either clock."""

    def median(clock: str) -> float:
        pairs = zip(getattr(slow, clock), getattr(fast, clock), strict=True)
        return digits(statistics.median(s / max(f, 1e-9) for s, f in pairs))

    return {"wall": median("seconds"), "cpu": median("cpu")}


# ---- memory ------------------------------------------------------------------------------


def memory_growth(work: Callable[[], Any], every: float = 0.005) -> tuple[float, Any]:
    """By how many MB the process grew at most while `work` ran, and what that returned.

    Freed memory is handed back to the system first where the C library can do
    that (glibc); elsewhere it may be used again, and the growth looks smaller.
    """
    process, start = psutil.Process(), resident()
    most = start
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(every):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        result = work()
        most = max(most, process.memory_info().rss)
    finally:
        over.set()
        thread.join()
    return (most - start) / 2**20, result


def resident() -> int:
    """Bytes that the process holds, what it does not use any more handed back first."""
    gc.collect()
    hand_back()
    return psutil.Process().memory_info().rss


# ---- the arithmetic floor ----------------------------------------------------------------


def matmul_rate(m: int, k: int, n: int, seconds: float = 0.1) -> float:
    """fp32 operations a second of an (m, k) @ (k, n) product, multiply and add counted as two.

    The best of several short runs, by processor time and for all threads: a
    floor is what the machine can do undisturbed.
    """
    a, b = torch.randn(m, k), torch.randn(k, n)
    out = torch.empty(m, n)
    torch.mm(a, b, out=out)
    repeats = max(1, int(seconds / 5 * 2e10 / (2.0 * m * k * n)))  # at a rate that is a low guess
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        for _ in range(repeats):
            torch.mm(a, b, out=out)
        best = max(best, repeats * 2.0 * m * k * n / (time.process_time() - start))
    return best * torch.get_num_threads()


def rates(config: PretrainedConfig) -> dict[str, Any]:
    """This machine's matmul rate, large and at the shapes of the model's MLP, in GFLOP/s."""
    width, inner = config.hidden_size, config.intermediate_size
    shapes = {
        "large": (1024, 1024, 1024),
        "one token of 1 row": (1, width, inner),
        "one token of 64 rows": (64, width, inner),
        "reading 2048 tokens": (2048, width, inner),
    }
    return {
        name: {"shape": list(shape), "gflops": digits(matmul_rate(*shape) / 1e9)}
        for name, shape in shapes.items()
    }


@dataclass(frozen=True)
class Arithmetic:
    """Operations that a Llama-style model cannot do without.

    Attributes:
        token: for each token read or written: 2 × the weights of its matrices.
        pair: for each token and token that it sees: attention's scores and sum.
        score: for each place whose next token is scored: the vocabulary's matrix.
    """

    token: float
    pair: float
    score: float

    @classmethod
    def of(cls, config: PretrainedConfig) -> Arithmetic:
        """Count for one model."""
        w, layers = config.hidden_size, config.num_hidden_layers
        shared = config.num_key_value_heads / config.num_attention_heads
        matrices = 2 * w * w * (1 + shared) + 3 * w * config.intermediate_size
        return cls(2.0 * layers * matrices, 4.0 * layers * w, 2.0 * w * config.vocab_size)

    def text(self, tokens: int, scored: int, known: int = 0) -> float:
        """Operations of one pass over a text.

        Args:
            tokens: its length.
            scored: places that need scores over the vocabulary.
            known: tokens at its start whose keys and values are kept from before.
        """
        pairs = (tokens * (tokens + 1) - known * (known + 1)) / 2
        return self.token * (tokens - known) + self.pair * pairs + self.score * scored

    def texts(self, prompts: Sequence[int], written: Sequence[int]) -> float:
        """Operations of reading prompts and writing after them, by their lengths.

        The last token written is never read, so it costs its scores only.
        """
        both = zip(prompts, written, strict=True)
        return sum(self.text(p + w - 1, scored=w) for p, w in both)


# ---- regressions -------------------------------------------------------------------------


def regressions(
    now: Mapping[str, Mapping[str, float]], recorded: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Ratios that fell far below the recorded ones, a sentence for each.

    Ratios of processor time are compared, never seconds: a ratio may fall to
    `GENEROUS` of the recorded one, but where that claimed a gain (`GAIN`) it
    must stay one.
    """
    found = []
    for name, then in recorded.items():
        if name not in now:
            found.append(f"{name} was recorded and is not measured any more.")
            continue
        least = max(GENEROUS * then["cpu"], 1.0 if then["cpu"] >= GAIN else 0.0)
        if now[name]["cpu"] < least:
            found.append(
                f"{name} is {now[name]['cpu']:.3g} now and was {then['cpu']:.3g} when it was "
                f"recorded: at least {least:.3g} is expected."
            )
    return found
