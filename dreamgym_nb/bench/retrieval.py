"""How retrieval grows with the replay buffer, from a thousand transitions to a million.

No log is that long, so real transitions are varied: the state of one with the
action of another, and an observation that says which, so that none is held
twice.  The encoder learns its words from the real ones, as it does in a run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dreamgym_nb.bench.measure import Say, Way, digits, memory_growth, resident, take_turns
from dreamgym_nb.bench.scenes import SEED, Scene
from dreamgym_nb.experience import Transition
from dreamgym_nb.machine import available_memory
from dreamgym_nb.replay_buffer import ReplayBuffer

QUERIES = 128
MEMORIES = 1
CHUNK = 50_000  # transitions added at once
BYTES_EACH = 2_500  # of memory that a transition may take while it is added and searched


def varied(real: Sequence[Transition], n: int, seed: int = SEED) -> Iterator[Transition]:
    """`n` different transitions made of real ones, in chunks' order reproducible."""
    rng = np.random.default_rng(seed)
    states, actions = rng.integers(len(real), size=(2, n))
    for number, (i, j) in enumerate(zip(states.tolist(), actions.tolist(), strict=True)):
        yield replace(
            real[i],
            history=(),
            action=real[j].action,
            observation=f"{real[j].observation}\nvariant {number}",
        )


def measure(of: Scene, sizes: Sequence[int], rounds: int, say: Say) -> list[dict[str, Any]]:
    """One buffer that grows; at each size, milliseconds for a query in a batch of `QUERIES`.

    Sizes that the free memory cannot hold are named and left out.
    """
    rng = np.random.default_rng(SEED)
    asked = [of.transitions[i] for i in rng.integers(len(of.transitions), size=QUERIES)]
    queries = [(t.state, t.action) for t in asked]
    own = [t.trajectory for t in asked]
    buffer = ReplayBuffer(of.transitions[: min(sizes)])
    before = resident()
    more = varied(of.transitions, max(sizes))
    rows = []
    for size in sorted(sizes):
        missing = size - len(buffer)
        if missing * BYTES_EACH > available_memory():
            say(
                f"    {size:,} transitions: left out, they need about "
                f"{missing * BYTES_EACH / 2**30:.1f} GiB of free memory"
            )
            rows.append({"transitions": size, "left_out": "too little free memory"})
            continue
        spent = added = 0.0
        while len(buffer) < size:
            chunk = [next(more) for _ in range(min(CHUNK, size - len(buffer)))]
            start = time.process_time()
            added += buffer.add(chunk)
            spent += time.process_time() - start
        held = (resident() - before) / 2**20

        def search(_: None) -> int:
            return len(buffer.retrieve(queries, MEMORIES, own))

        grown, _ = memory_growth(lambda: search(None))
        found = take_turns({"search": Way(search)}, rounds, lambda text: None)["search"]
        say(f"    {size:,} transitions: {found.to_json()['milliseconds']} ms a query")
        rows.append(
            {
                "transitions": len(buffer),
                **found.to_json(),
                "batch": QUERIES,
                "k": MEMORIES,
                "memory_mb": digits(grown),
                "held_mb": digits(held),
                "add_cpu_milliseconds": digits(1000 * spent / added) if added else None,
            }
        )
    return rows
