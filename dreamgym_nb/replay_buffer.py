"""The experience replay buffer: similar past transitions as memories (Section 2).

``{d_j} = Top_k cos(φ(s_t, a_t), φ(s_i, a_i))``.  The buffer starts with the
offline log and grows with dreamed transitions.  φ is any text encoder; the
default weighs words by tf-idf, the action's apart from the state's, because
what an action does depends on the action most of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Transition

Query = tuple[str, str]  # (state, action)


class Encoder(Protocol):
    """φ: turns (state, action) pairs into rows of unit length."""

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
        self.transitions: list[Transition] = []
        self._owners: list[set[str]] = []  # trajectories in which each memory was seen
        self._index: dict[tuple[str, str, str], int] = {}
        pairs = [(t.state, t.action) for t in transitions]
        self.encoder = (encoder or TfidfEncoder()).fit(pairs)
        self._rows: csr_matrix | None = None
        self.add(transitions)

    def __len__(self) -> int:
        return len(self.transitions)

    @property
    def sources(self) -> Counter[str]:
        """How many memories are real and how many dreamed."""
        return Counter(t.source for t in self.transitions)

    def add(self, transitions: Sequence[Transition]) -> int:
        """Add what is new among `transitions`; returns how many were new.

        A dreamed answer to a (state, action) that reality has answered is
        never held: it is not added, and a real answer takes its place.
        """
        new: list[Transition] = []
        real = {(t.state, t.action) for t in transitions if t.source == "real"}
        self._forget_dreams_of(real)
        real |= {(t.state, t.action) for t in self.transitions if t.source == "real"}
        for t in transitions:
            if t.source == "dream" and (t.state, t.action) in real:
                continue
            key = (t.state, t.action, t.observation)
            if key in self._index:
                self._owners[self._index[key]].add(t.trajectory)
                continue
            self._index[key] = len(self.transitions)
            self.transitions.append(t)
            self._owners.append({t.trajectory})
            new.append(t)
        if new:
            rows = self.encoder([(t.state, t.action) for t in new])
            self._rows = rows if self._rows is None else vstack([self._rows, rows]).tocsr()
        return len(new)

    def _forget_dreams_of(self, answered: set[Query]) -> None:
        stay = [
            i
            for i, t in enumerate(self.transitions)
            if t.source == "real" or (t.state, t.action) not in answered
        ]
        if len(stay) == len(self.transitions):
            return
        self.transitions = [self.transitions[i] for i in stay]
        self._owners = [self._owners[i] for i in stay]
        self._rows = self._rows[stay]
        keys = [(t.state, t.action, t.observation) for t in self.transitions]
        self._index = {key: i for i, key in enumerate(keys)}

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
        if k <= 0 or not queries:
            return [[] for _ in queries]
        found: list[list[tuple[Transition, float]]] = []
        for start in range(0, len(queries), 256):
            part = queries[start : start + 256]
            cosine = (self.encoder(part) @ self._rows.T).toarray()
            for row, scores in enumerate(cosine):
                own = exclude[start + row] if exclude is not None else None
                found.append(self._best(scores, k, own))
        return found

    def _best(self, scores: np.ndarray, k: int, own: str | None) -> list[tuple[Transition, float]]:
        width = min(len(scores), k + 16)
        while True:
            least = -np.partition(-scores, width - 1)[width - 1]
            top = np.flatnonzero(scores >= least)
            top = top[np.argsort(-scores[top], kind="stable")]  # ties: the older memory first
            best = [int(i) for i in top if self._owners[i] != {own}][:k]
            if len(best) == k or width == len(scores):
                return [(self.transitions[i], float(scores[i])) for i in best]
            width = min(len(scores), 2 * width)
