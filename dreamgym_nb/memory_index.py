"""Exact top-k search in up to millions of memories, mostly without looking at them.

A row of φ is ``[action part | state part]``, its length 1, so by the inequality
of Cauchy and Schwarz the action parts alone bound a cosine::

    cos(q, d)  =  q_a·d_a + q_s·d_s  ≤  q_a·d_a + |q_s| |d_s|

Memories with the same action part are kept side by side, as a *group*; there
are few groups, because there are few actions.  The most promising group is
searched first, and a group that cannot reach the k best found so far is never
opened: what comes out is what comparing with every memory would give, to the
last bit, ties included.  Mostly one group is opened, that of the very action.

Rows may be sparse or dense.  A product of dense matrices adds up in an order of
its own, so dense cosines are rounded to five decimals before they are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack

GONE = -1
"""Owner of a memory that nobody is to find any more."""

Rows = csr_matrix | np.ndarray

NOTHING = -2.0  # less than any cosine
ROUNDING = 1e-4  # more than a bound can be too low for its float32 and five decimals
FEW = 8192  # so few memories are compared with sooner than sorted out
FIRST = 2048  # memories compared with before there is a k-th best to beat
MOST = 1 << 19  # cosines held at once: 2 MB
MERGE = 4  # a part is at least so many times as long as the next


@dataclass(frozen=True)
class _Part:
    """Some of the memories, those of one group side by side, older first.

    Attributes:
        rows: φ, (memories, features).
        labels: the group of each row, ascending.
        ids: the number of each memory.
        starts: the first row of each group, and the number of rows, (groups + 1,).
        heads: the action part of each group, (groups, head).
        rest: the most length that this leaves for state parts, (groups,).
    """

    rows: Rows
    labels: np.ndarray
    ids: np.ndarray
    starts: np.ndarray
    heads: Rows
    rest: np.ndarray

    @classmethod
    def of(cls, rows: Rows, labels: np.ndarray, ids: np.ndarray, head: int) -> _Part:
        """Sort memories, given in the order of their age, into groups."""
        order = np.argsort(labels, kind="stable")
        rows, labels, ids = rows[order], labels[order], ids[order]
        starts = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
        heads = rows[starts[:-1]][:, :head]
        return cls(rows, labels, ids, starts, heads, _beside(heads))


class MemoryIndex:
    """Rows of φ, numbered as they come, and their exact top-k search.

    New rows make a part of their own, and parts of like size are merged: there
    are few of them, and a row is copied about log n times while n are added.

    Args:
        head: how many leading columns are the action part; 0 if φ has none
            (all memories are one group then, and each is compared with).
    """

    def __init__(self, head: int) -> None:
        self.head, self.size = head, 0
        self._parts: list[_Part] = []
        self._labels: dict[tuple[bytes, ...], int] = {}

    def add(self, rows: Rows) -> None:
        """Number `rows`, each of length 1 (or 0), from `size` on."""
        if not rows.shape[0]:
            return
        rows = _tidy(rows)
        new = np.arange(self.size, self.size + rows.shape[0])
        labels = [self._labels.setdefault(h, len(self._labels)) for h in self._heads(rows)]
        part = _Part.of(rows, np.array(labels), new, self.head)
        while self._parts and len(self._parts[-1].ids) < MERGE * len(part.ids):
            two = self._parts.pop(), part
            rows = _stack([p.rows for p in two])
            labels, ids = (np.concatenate([getattr(p, a) for p in two]) for a in ("labels", "ids"))
            part = _Part.of(rows, labels, ids, self.head)
        self._parts.append(part)
        self.size += len(new)

    def drop(self, gone: np.ndarray) -> None:
        """Forget the rows where `gone`, (size,), and number the others anew, in the same order."""
        numbers, parts = np.cumsum(~gone) - 1, []
        for part in self._parts:
            stay = ~gone[part.ids]
            if stay.any():
                ids = numbers[part.ids[stay]]
                parts.append(_Part.of(part.rows[stay], part.labels[stay], ids, self.head))
        self._parts, self.size = parts, int(np.count_nonzero(~gone))

    def _heads(self, rows: Rows) -> Iterator[tuple[bytes, ...]]:
        """The action part of each row, as a key."""
        heads = rows[:, : self.head]
        if isinstance(heads, np.ndarray):
            yield from ((head.tobytes(),) for head in heads)
            return
        ends = heads.indptr.tolist()
        for a, b in zip(ends[:-1], ends[1:], strict=True):
            yield heads.indices[a:b].tobytes(), heads.data[a:b].tobytes()

    def search(
        self, queries: Rows, k: int, owners: np.ndarray, own: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k memories of the highest cosine, for each query; of equals the older first.

        Args:
            queries: rows of φ, (queries, features), at least one.
            k: how many, at least 1.
            owners: the owner of each memory, (size,); `GONE` if it is not to be found.
            own: for each query an owner whose memories it must not find, (queries,).

        Returns:
            The numbers of the memories and their cosines, best first, both (queries, k).
            The number is -1 where there are fewer than k.
        """
        queries = _tidy(queries)
        search = _Search(queries, self.head, k, owners, own)
        same: dict[tuple[bytes, ...], list[int]] = {}
        for i, head in enumerate(self._heads(queries)):
            same.setdefault(head, []).append(i)
        for part in self._parts:
            if len(part.ids) <= FEW:
                search.compare(np.arange(len(own)), part.rows, part.ids)
            else:
                for members in same.values():
                    search.look_in(part, np.array(members))
        return search.numbers, search.cosines


class _Search:
    """A batch of queries on their way through the parts; arguments as of `MemoryIndex.search`.

    Attributes:
        numbers, cosines: the k best so far, best first, (queries, k).
    """

    def __init__(
        self, queries: Rows, head: int, k: int, owners: np.ndarray, own: np.ndarray
    ) -> None:
        self.queries, self.head = _full(queries), head
        self.rest = _beside(queries[:, :head])
        self.owners, self.own = owners, own
        self.numbers = np.full((len(own), k), -1)
        self.cosines = np.full((len(own), k), NOTHING, np.float32)

    def look_in(self, part: _Part, members: np.ndarray) -> None:
        """Open the groups of a part, the most promising first, while one can hold a better memory.

        Args:
            part: where to look.
            members: queries whose action part is the same.
        """
        one = members[0]
        bound = part.heads @ self.queries[one, : self.head] + self.rest[one] * part.rest
        groups, room = np.array([bound.argmax()]), FIRST
        while bound[groups[0]] + ROUNDING >= self.cosines[members, -1].min():
            self._open(part, np.sort(groups), members)
            bound[groups] = -np.inf
            left = np.flatnonzero(bound + ROUNDING >= self.cosines[members, -1].min())
            if not len(left):
                return
            left = left[np.argsort(-bound[left], kind="stable")]
            sizes = part.starts[left + 1] - part.starts[left]
            groups, room = left[: 1 + np.searchsorted(sizes.cumsum(), room)], 4 * room

    def _open(self, part: _Part, groups: np.ndarray, members: np.ndarray) -> None:
        """Compare with all memories of some groups, ascending."""
        gaps = np.flatnonzero(np.diff(groups) > 1)
        starts = part.starts[groups[np.append(0, gaps + 1)]]
        stops = part.starts[groups[np.append(gaps, -1)] + 1]
        sizes = stops - starts
        if sizes.sum() >= FIRST * len(sizes):  # long runs: go through them where they are
            for start, stop in zip(starts, stops, strict=True):
                self.compare(members, _cut(part.rows, start, stop), part.ids[start:stop])
        else:  # short ones: bring them together
            places = np.arange(sizes.sum()) + np.repeat(starts - sizes.cumsum() + sizes, sizes)
            self.compare(members, part.rows[places], part.ids[places])

    def compare(self, members: np.ndarray, rows: Rows, ids: np.ndarray) -> None:
        """Compare some queries with some memories, a block of them at a time."""
        columns, start = np.ascontiguousarray(self.queries[members].T), 0
        while start < len(ids):
            beaten = self.cosines[members, -1].min() > NOTHING
            stop = min(len(ids), start + (max(FIRST, MOST // len(members)) if beaten else FIRST))
            cosine = _cut(rows, start, stop) @ columns  # all of φ(query)·φ(memory)
            if isinstance(rows, np.ndarray):
                cosine = cosine.round(5)  # what should be equal is
            owner = self.owners[ids[start:stop], None]
            cosine[(owner == GONE) | (owner == self.own[members])] = -np.inf
            self._keep(members, cosine, ids[start:stop])
            start = stop

    def _keep(self, members: np.ndarray, cosine: np.ndarray, ids: np.ndarray) -> None:
        """Keep the k best among those so far and new ones, (memories, queries)."""
        k, least = self.cosines.shape[1], self.cosines[members, -1]
        if len(ids) > k and least.min() == NOTHING:
            least = np.maximum(least, np.partition(cosine, -k, axis=0)[-k])
        which, whose = np.nonzero(cosine >= least)
        if not len(which):
            return
        query = np.append(np.repeat(np.arange(len(members)), k), whose)
        numbers = np.append(self.numbers[members], ids[which])
        cosines = np.append(self.cosines[members], cosine[which, whose])
        order = np.lexsort((numbers, -cosines, query))
        first = np.searchsorted(query[order], np.arange(len(members)))
        best = order[first[:, None] + np.arange(k)]
        self.numbers[members], self.cosines[members] = numbers[best], cosines[best]


def _tidy(rows: Rows) -> Rows:
    """In float32, each row's columns ascending: all sums are then taken in the same order."""
    if isinstance(rows, np.ndarray):
        return np.ascontiguousarray(rows, dtype=np.float32)
    rows = csr_matrix(rows, dtype=np.float32)
    return rows if rows.has_sorted_indices else rows.sorted_indices()


def _full(rows: Rows) -> np.ndarray:
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def _stack(parts: Sequence[Rows]) -> Rows:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return vstack(parts, format="csr")


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    """``rows[start:stop]``, but sharing memory with it: copying takes as long as multiplying."""
    if isinstance(rows, np.ndarray):
        return rows[start:stop]
    cut = csr_matrix((stop - start, rows.shape[1]), dtype=rows.dtype)
    a, b = rows.indptr[start], rows.indptr[stop]
    cut.data, cut.indices = rows.data[a:b], rows.indices[a:b]
    cut.indptr = rows.indptr[start : stop + 1] - a
    return cut


def _beside(heads: Rows) -> np.ndarray:
    """What of a row's length 1 is left beside its head."""
    squares = heads.multiply(heads) if isinstance(heads, csr_matrix) else np.square(heads)
    squared = np.asarray(squares.sum(axis=1)).ravel()
    return np.sqrt(np.maximum(0, 1 - squared)).round(5)  # what should be equal is
