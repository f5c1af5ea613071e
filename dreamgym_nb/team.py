"""One batch of texts on several cores: each writes some of the rows.

A small model's products are too small to be shared between cores: two of them
work on one hardly faster than one alone.  Rows have nothing to do with each
other, though.  So each core gets a session of its own with some of the rows.

The random numbers are drawn for the whole batch before it is shared out: what
is sampled does not depend on the number of cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.generation import Generation, Session, closed_up
from dreamgym_nb.heap import share_one_heap

if TYPE_CHECKING:
    from dreamgym_nb.language_model import LanguageModel

FEWEST = 8  # rows for each core; fewer are not worth a thread
SMALL = 20_000_000  # weights of a model whose passes are faster on one core than on several
T = TypeVar("T")


def on_all_cores(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Do jobs at the same time, each with one core; returns what they return."""
    threads = torch.get_num_threads()
    try:
        if len(jobs) == 1:
            torch.set_num_threads(1)
            return [jobs[0]()]
        share_one_heap()
        with ThreadPoolExecutor(
            len(jobs), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(lambda job: job(), jobs))
    finally:
        torch.set_num_threads(threads)  # new threads begin with what was set last, anywhere


class Team:
    """A `generation.Session` whose rows are dealt out to the cores.

    Args:
        lm: the language model.
        rows: size of the batch.
        draft: see `Session`.
        cores: how many share the work; as many as torch has threads when omitted.  A model
            that is not `SMALL`, or on a GPU, has one session and torch's own threads.
    """

    def __init__(
        self, lm: LanguageModel, rows: int, draft: int | None = None, cores: int | None = None
    ) -> None:
        self.small = lm.device.type == "cpu" and lm.parameters < SMALL
        cores = torch.get_num_threads() if cores is None else cores
        n = max(1, min(cores, rows // FEWEST)) if self.small else 1
        # Dealt like cards: neighbours are often alike in length.
        self.place = [(i % n, i // n) for i in range(rows)]  # session and row in it
        lm.begin(0)  # lays the weights out once, before several threads ask for them
        self.sessions = [Session(lm, len(range(s, rows, n)), draft) for s in range(n)]

    def _do(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        return on_all_cores(jobs) if self.small else [job() for job in jobs]

    def _dealt(self, values: Sequence[T]) -> list[list[T]]:
        """What belongs to the rows, by session, in the order of its rows."""
        hands: list[dict[int, T]] = [{} for _ in self.sessions]
        for (s, i), value in zip(self.place, values, strict=True):
            hands[s][i] = value
        return [[hand[i] for i in sorted(hand)] for hand in hands]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, each there once, in this order."""
        kept = [self.place[r] for r in rows]
        working, moved = [], {}  # sessions, and what became of their rows
        for s, session in enumerate(self.sessions):
            live = torch.zeros(len(session.ends), dtype=torch.bool)
            live[[i for own, i in kept if own == s]] = True
            if live.any():
                order = closed_up(live).tolist()
                session.keep(order)
                moved |= {(s, i): (len(working), place) for place, i in enumerate(order)}
                working.append(session)
        self.sessions, self.place = working, [moved[row] for row in kept]

    def read(self, chunks: Sequence[Sequence[int]]) -> None:
        """Add tokens to each row, see `Session.read`."""
        jobs = zip(self.sessions, self._dealt(chunks), strict=True)
        self._do([lambda s=s, own=own: s.read(own) for s, own in jobs])

    def write(
        self,
        max_new_tokens: int,
        temperature: float | Sequence[float] = 1.0,
        generator: torch.Generator | None = None,
        last: bool = False,
    ) -> list[Generation]:
        """Let the model continue every row, see `Session.write`.

        Args:
            max_new_tokens: limit on the tokens of one row.
            temperature: 0 for greedy; one for all rows, or one for each.
            generator: source of randomness for sampling.
            last: whether nothing is read or written after it.

        Raises:
            UserError: a temperature is below 0 or no number.
        """
        n, device = len(self.place), self.sessions[0].lm.device
        luck = torch.rand(n, max_new_tokens, device=device, generator=generator)
        heat = [temperature] * n if isinstance(temperature, (int, float)) else temperature
        if not all(0 <= t < math.inf for t in heat):
            raise UserError(f"Temperatures are numbers of at least 0, not {temperature}.")
        hands = zip(self.sessions, self._dealt(heat), self._dealt(list(luck)), strict=True)
        done = self._do(
            [
                lambda s=s, warm=warm, own=own: s.write(
                    max_new_tokens, warm, last=last, luck=torch.stack(own)
                )
                for s, warm, own in hands
            ]
        )
        return [done[s][i] for s, i in self.place]
