"""The experience replay buffer: similar past transitions as memories (Section 2).

``{d_j} = Top_k cos(φ(s_t, a_t), φ(s_i, a_i))``.  The buffer starts with the
offline log and grows with dreamed transitions, all of them or those that pass a
filter, up to a capacity or without end.  φ is any text encoder of `encoders`.
The search is exact; how it stays quick among a million memories is told in
`memory_index`.  That no training sample sees its own answer is checked by `leaks`.
"""

from __future__ import annotations

import copy
import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dreamgym_nb.encoders import Encoder, Query, TfidfEncoder
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Transition
from dreamgym_nb.memory_index import GONE, MemoryIndex

Memories = Sequence[tuple[Transition, float]]  # with their cosine, best first

SEVERAL = -2
"""Owner of a memory that more than one trajectory made."""

NOBODY = -3
"""Owner of nothing."""


@dataclass(frozen=True)
class Confident:
    """A filter of dreams: those that the experience model was sure of.

    A buffer fed with the model's own mistakes repeats them (Section 6), and a
    model is less sure of what it gets wrong.

    Attributes:
        least: mean log-probability of an answer's tokens, in nats, from which on it is held.
    """

    least: float = -0.01

    def __call__(self, transition: Transition) -> bool:
        """Whether this dream is held.

        Raises:
            UserError: nobody said how sure the model was of it.
        """
        if transition.confidence is None:
            raise UserError(
                "This dreamed transition does not say how sure the experience model was of it. "
                "Make dreams with ExperienceModel and rollout, or leave accept=Confident(…) out."
            )
        return transition.confidence >= self.least


class ReplayBuffer:
    """Past transitions and their top-k search.

    Equal (state, action, observation) are held once: a memory that says the
    same thing twice would crowd out a second, different one.

    Args:
        transitions: the offline log's; φ is fitted on them.
        encoder: φ, of which a copy is fitted; tf-idf when omitted.
        accept: whether a new dreamed transition is held, such as `Confident`;
            all are when omitted.  Real ones are never asked about.
        capacity: how many memories are held at most; no end when omitted.
        keep: what a memory is worth, asked once, when it comes.  When the buffer
            is full the one of least worth leaves, of equals the oldest, and a
            real one only where no dreamed one is left.  All are worth the same
            when omitted: the oldest dream leaves first.

    Attributes:
        refused: how many dreamed transitions `accept` turned away.
        evicted: how many memories left because the buffer was full.
    """

    def __init__(
        self,
        transitions: Sequence[Transition],
        encoder: Encoder | None = None,
        *,
        accept: Callable[[Transition], bool] | None = None,
        capacity: int | None = None,
        keep: Callable[[Transition], float] | None = None,
    ) -> None:
        if not transitions:
            raise UserError("A replay buffer starts with at least one transition of the log.")
        if capacity is not None and capacity < 1:
            raise UserError(f"A replay buffer holds at least one memory, not {capacity}.")
        # A copy: two buffers of one encoder would each teach it words of their own.
        encoder = copy.copy(encoder) if encoder is not None else TfidfEncoder()
        self.encoder = encoder.fit([(t.state, t.action) for t in transitions])
        self.accept, self.capacity = accept or (lambda t: True), capacity
        self.keep = keep or (lambda t: 0.0)
        self.refused = self.evicted = 0
        # Memories are numbered as they come; of one that is forgotten only the number stays.
        self._memories: list[Transition | None] = []
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._index = MemoryIndex(self.encoder.action_features)
        self._answered: set[Query] = set()  # by reality
        self._dreams: dict[Query, list[int]] = {}
        self._owners = np.empty(0, np.int64)  # the trajectory of each memory; room for more
        self._trajectories: dict[str, int] = {}
        self._leaving: list[tuple[bool, float, int]] = []  # a heap: (real, worth, number)
        self.add(transitions)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def transitions(self) -> list[Transition]:
        """All memories, oldest first; a new list each time."""
        return [t for t in self._memories if t is not None]

    @property
    def sources(self) -> Counter[str]:
        """How many memories are real and how many dreamed."""
        return Counter(t.source for t in self.transitions)

    def of_tasks(self, tasks: Sequence[Task]) -> list[Transition]:
        """The memories of these tasks; of test tasks there must be none."""
        ids = {(task.world, task.id) for task in tasks}
        return [t for t in self.transitions if (t.task.world, t.task.id) in ids]

    def add(self, transitions: Sequence[Transition]) -> int:
        """Add what is new among `transitions`; returns how many were new.

        A dreamed answer to a (state, action) that reality has answered is
        never held: it is not added, and a real answer takes its place.  The
        time it takes depends on what is added, not on what is held.
        """
        held = len(self._memories)
        if held + len(transitions) > len(self._owners):
            self._owners = np.resize(self._owners, 2 * (held + len(transitions)))
        for t in transitions:
            if t.source == "real":
                self._answered.add((t.state, t.action))
                for number in self._dreams.pop((t.state, t.action), ()):
                    self._forget(number)
        for t in transitions:
            if t.source == "dream" and (t.state, t.action) in self._answered:
                continue
            owner = self._trajectories.setdefault(t.trajectory, len(self._trajectories))
            known = self._numbers.get((t.state, t.action, t.observation))
            if known is not None:
                if self._owners[known] != owner:
                    self._owners[known] = SEVERAL
            elif t.source == "dream" and not self.accept(t):
                self.refused += 1
            else:
                self._hold(t, owner)
        new = self._memories[held:]
        if new:
            self._index.add(self.encoder([(t.state, t.action) for t in new]))
        self._make_room()
        return len(new)

    def _hold(self, t: Transition, owner: int) -> None:
        number = len(self._memories)
        self._memories.append(t)
        self._numbers[t.state, t.action, t.observation] = number
        self._owners[number] = owner
        if t.source == "dream":
            self._dreams.setdefault((t.state, t.action), []).append(number)
        if self.capacity is not None:
            heapq.heappush(self._leaving, (t.source == "real", self.keep(t), number))

    def _forget(self, number: int) -> None:
        t = self._memories[number]
        del self._numbers[t.state, t.action, t.observation]
        self._memories[number], self._owners[number] = None, GONE

    def _make_room(self) -> None:
        """Let memories leave until the rest fits, and now and then give their place back."""
        while self.capacity is not None and len(self) > self.capacity:
            _, _, number = heapq.heappop(self._leaving)
            t = self._memories[number]
            if t is None:  # a fact had taken its place
                continue
            if t.source == "dream":
                self._dreams[t.state, t.action].remove(number)
            self._forget(number)
            self.evicted += 1
        if len(self._memories) > 2 * len(self):
            self._renumber()

    def _renumber(self) -> None:
        """Drop the numbers of what is forgotten: most of them are, so it costs little for each."""
        stay = [i for i, t in enumerate(self._memories) if t is not None]
        new = {old: i for i, old in enumerate(stay)}
        self._index.drop(self._owners[: len(self._memories)] == GONE)
        self._owners = self._owners[stay]
        self._memories = [self._memories[i] for i in stay]
        self._numbers = {key: new[i] for key, i in self._numbers.items()}
        self._dreams = {q: [new[i] for i in ids] for q, ids in self._dreams.items() if ids}
        self._leaving = [(real, worth, new[i]) for real, worth, i in self._leaving if i in new]
        heapq.heapify(self._leaving)

    def retrieve(
        self,
        queries: Sequence[Query],
        k: int,
        exclude: Sequence[str | None] | None = None,
    ) -> list[Memories]:
        """The k most similar memories of each query, best first, with their cosine.

        Args:
            queries: (state, action) pairs.
            k: how many; 0 gives empty lists.
            exclude: for each query the id of a trajectory whose transitions
                must not be found (training must not look up its own answer).
                A memory that another trajectory made too stays.

        Raises:
            UserError: `exclude` is not as long as `queries`.
        """
        if exclude is not None and len(exclude) != len(queries):
            raise UserError(
                f"{len(exclude)} trajectories to exclude for {len(queries)} queries: give one "
                "for each query, None where nothing is to be left out."
            )
        k = min(k, len(self._memories))
        if k <= 0 or not queries:
            return [[] for _ in queries]
        names = exclude if exclude is not None else [None] * len(queries)
        own = np.array([self._trajectories.get(name, NOBODY) for name in names])
        found: list[Memories] = []
        for start in range(0, len(queries), 256):
            part = slice(start, start + 256)
            rows = self.encoder(queries[part])
            best = self._index.search(rows, k, self._owners, own[part])
            for numbers, cosines in zip(*(b.tolist() for b in best), strict=True):
                pairs = zip(numbers, cosines, strict=True)
                found.append([(self._memories[i], c) for i, c in pairs if i >= 0])
        return found


@dataclass(frozen=True)
class Leak:
    """A memory that a sample must not see.

    Attributes:
        transition: what is asked about.
        memory: what was found for it.
        why: ``"own trajectory"`` or ``"test task"``.
    """

    transition: Transition
    memory: Transition
    why: str


def leaks(
    transitions: Sequence[Transition], memories: Sequence[Memories], test: Sequence[Task] = ()
) -> list[Leak]:
    """What should not have been found, by a look at the memories themselves.

    A sample that is trained with its own answer among its memories learns to
    copy it, and a test task among the memories makes an exam worthless.  This
    trusts none of the buffer's books.

    Args:
        transitions: all transitions of the log (a memory that another
            trajectory made too is no leak, so all of them must be known).
        memories: what was retrieved for each of them.
        test: tasks of the test split.

    Returns:
        The leaks; none, if all is well.
    """
    witnesses: dict[tuple[str, str, str], set[str]] = {}
    for t in transitions:
        key = (t.state, t.action, t.observation)
        witnesses.setdefault(key, {t.trajectory}).add(t.trajectory)
    secret = {(task.world, task.id) for task in test}
    found = []
    for t, seen in zip(transitions, memories, strict=True):
        for m, _ in seen:
            others = {m.trajectory} | witnesses.get((m.state, m.action, m.observation), set())
            if not others - {t.trajectory}:
                found.append(Leak(t, m, "own trajectory"))
            if (m.task.world, m.task.id) in secret:
                found.append(Leak(t, m, "test task"))
    return found
