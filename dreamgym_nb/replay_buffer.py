"""The experience replay buffer: similar past transitions as memories (Section 2).

``{d_j} = Top_k cos(φ(s_t, a_t), φ(s_i, a_i))``.  The buffer starts with the
offline log and grows with dreamed transitions.  φ is any text encoder; the
default weighs words by tf-idf, the action's apart from the state's, because
what an action does depends on the action most of all.  The search is exact;
how it stays quick among a million memories is told in `memory_index`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Transition
from dreamgym_nb.memory_index import GONE, MemoryIndex

Query = tuple[str, str]  # (state, action)

SEVERAL = -2
"""Owner of a memory that more than one trajectory made."""

NOBODY = -3
"""Owner of nothing."""


class Encoder(Protocol):
    """φ: turns (state, action) pairs into rows of unit length.

    Attributes:
        action_features: how many leading columns depend on the action alone
            (where many pairs agree in them, the search is quick), 0 if none do.
    """

    action_features: int

    def fit(self, pairs: Sequence[Query]) -> Encoder:
        """Learn what is needed from the offline pairs."""

    def __call__(self, pairs: Sequence[Query]) -> csr_matrix:
        """One row of length 1 for each pair, (pairs, features)."""


class TfidfEncoder:
    """φ(s, a): tf-idf of the action's words beside tf-idf of the state's words.

    The cosine of two pairs is then ``w·cos(actions) + (1-w)·cos(states)``.

    Args:
        action_weight: w in [0, 1].
    """

    def __init__(self, action_weight: float = 0.6) -> None:
        self.action_weight = action_weight
        words = {"token_pattern": r"[^\s\[\]|:]+|[\[|:]", "lowercase": True, "dtype": np.float32}
        self._action = TfidfVectorizer(ngram_range=(1, 2), **words)
        self._state = TfidfVectorizer(sublinear_tf=True, **words)

    def fit(self, pairs: Sequence[Query]) -> TfidfEncoder:
        """Learn vocabulary and word weights."""
        self._action.fit([a for _, a in pairs])
        self._state.fit([s for s, _ in pairs])
        self.action_features = len(self._action.vocabulary_)
        return self

    def __call__(self, pairs: Sequence[Query]) -> csr_matrix:
        """Unit rows, (pairs, features)."""
        a = self._action.transform([a for _, a in pairs]) * self.action_weight**0.5
        s = self._state.transform([s for s, _ in pairs]) * (1 - self.action_weight) ** 0.5
        return normalize(hstack([a, s]).tocsr())


class ReplayBuffer:
    """Past transitions and their top-k search.

    Equal (state, action, observation) are held once: a memory that says the
    same thing twice would crowd out a second, different one.

    Args:
        transitions: the offline log's; φ is fitted on them.
        encoder: φ; tf-idf when omitted.
    """

    def __init__(self, transitions: Sequence[Transition], encoder: Encoder | None = None) -> None:
        if not transitions:
            raise UserError("A replay buffer starts with at least one transition of the log.")
        self.encoder = (encoder or TfidfEncoder()).fit([(t.state, t.action) for t in transitions])
        # Memories are numbered as they come; of one that is forgotten only the number stays.
        self._memories: list[Transition | None] = []
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._index = MemoryIndex(self.encoder.action_features)
        self._answered: set[Query] = set()  # by reality
        self._dreams: dict[Query, list[int]] = {}
        self._owners = np.empty(0, np.int64)  # the trajectory of each memory; room for more
        self._trajectories: dict[str, int] = {}
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
                self._forget_dreams_of((t.state, t.action))
                self._answered.add((t.state, t.action))
        for t in transitions:
            if t.source == "dream" and (t.state, t.action) in self._answered:
                continue
            owner = self._trajectories.setdefault(t.trajectory, len(self._trajectories))
            number = len(self._memories)
            known = self._numbers.setdefault((t.state, t.action, t.observation), number)
            if known != number:
                if self._owners[known] != owner:
                    self._owners[known] = SEVERAL
                continue
            self._memories.append(t)
            self._owners[number] = owner
            if t.source == "dream":
                self._dreams.setdefault((t.state, t.action), []).append(number)
        new = self._memories[held:]
        if new:
            self._index.add(self.encoder([(t.state, t.action) for t in new]))
        return len(new)

    def _forget_dreams_of(self, answered: Query) -> None:
        for number in self._dreams.pop(answered, ()):
            t = self._memories[number]
            del self._numbers[t.state, t.action, t.observation]
            self._memories[number], self._owners[number] = None, GONE

    def retrieve(
        self,
        queries: Sequence[Query],
        k: int,
        exclude: Sequence[str | None] | None = None,
    ) -> list[list[tuple[Transition, float]]]:
        """The k most similar memories of each query, best first, with their cosine.

        Args:
            queries: (state, action) pairs.
            k: how many; 0 gives empty lists.
            exclude: for each query the id of a trajectory whose transitions
                must not be found (training must not look up its own answer).
                A memory that another trajectory made too stays.
        """
        k = min(k, len(self._memories))
        if k <= 0 or not queries:
            return [[] for _ in queries]
        names = exclude if exclude is not None else [None] * len(queries)
        own = np.array([self._trajectories.get(name, NOBODY) for name in names])
        found: list[list[tuple[Transition, float]]] = []
        for start in range(0, len(queries), 256):
            part = slice(start, start + 256)
            rows = self.encoder(queries[part])
            best = self._index.search(rows, k, self._owners, own[part])
            for numbers, cosines in zip(*(b.tolist() for b in best), strict=True):
                pairs = zip(numbers, cosines, strict=True)
                found.append([(self._memories[i], c) for i, c in pairs if i >= 0])
        return found
