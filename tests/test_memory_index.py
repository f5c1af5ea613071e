"""The index finds what comparing with every memory finds, in groups and parts of any size."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack, random, vstack
from sklearn.preprocessing import normalize

from dreamgym_nb import memory_index
from dreamgym_nb.memory_index import GONE, MemoryIndex

HEAD, NOBODY = 12, -3


@pytest.fixture
def small(monkeypatch):
    """Sizes at which a hundred memories fill groups, blocks and parts."""
    for name, size in {"FEW": 0, "FIRST": 3, "MOST": 100}.items():
        monkeypatch.setattr(memory_index, name, size)


def rows_of(n, seed, groups=20, features=40, sign=0):
    """Unit rows of few different action parts; some without action, state or anything; twins."""
    rng = np.random.default_rng(seed)
    words = {"format": "csr", "dtype": np.float32, "random_state": rng}
    actions = random(groups, HEAD, 0.25, **words)[rng.integers(groups, size=n)]
    states = random(n, features - HEAD, 0.15, **words)
    states.data -= sign * np.float32(0.5)
    rows = normalize(hstack([normalize(actions) * 1.2, normalize(states)]).tocsr())
    return rows[np.r_[: n - n // 10, : n // 10]].astype(np.float32)


def brute_force(rows, queries, k, owners, own):
    """Every cosine, sorted; of equals the older first."""
    best = []
    for cosine, name in zip((queries @ rows.T).toarray(), own, strict=True):
        allowed = np.flatnonzero((owners != GONE) & (owners != name))
        order = sorted(allowed.tolist(), key=lambda i: (-cosine[i], i))[:k]
        best.append([(i, float(cosine[i])) for i in order])
    return best


def search(index, queries, k, owners=None, own=None):
    owners = np.zeros(index.size, int) if owners is None else owners
    own = np.full(queries.shape[0], NOBODY) if own is None else own
    found = (each.tolist() for each in index.search(queries, k, owners, own))
    return [[(i, c) for i, c in zip(*r, strict=True) if i >= 0] for r in zip(*found, strict=True)]


def filled(rows, *sizes, head=HEAD):
    """An index to which rows came in lots of these sizes, and then the rest."""
    index, start = MemoryIndex(head), 0
    for size in (*sizes, rows.shape[0] - sum(sizes)):
        index.add(rows[start : start + size])
        start += size
    return index


@pytest.mark.parametrize("k", [1, 4, 200])
@pytest.mark.parametrize("sizes", [(), (100, 16, 3, 2, 1)])
@pytest.mark.parametrize("sign", [0, 1])
def test_search_finds_what_brute_force_finds(small, k, sizes, sign):
    """The same memories in the same order with the same cosines, to the last bit."""
    rows, queries = rows_of(130, seed=1, sign=sign), rows_of(20, seed=2, sign=sign)
    queries = vstack([queries, rows[:20]]).tocsr()
    rng = np.random.default_rng(3)
    owners, own = rng.integers(-1, 6, 130), rng.integers(0, 6, 40)
    index = filled(rows, *sizes)
    assert search(index, queries, k, owners, own) == brute_force(rows, queries, k, owners, own)


@pytest.mark.parametrize("few", [0, 150, 10_000])
@pytest.mark.parametrize("head", [0, HEAD, 40])
def test_grouped_or_not_the_same_is_found(monkeypatch, few, head):
    """An encoder may have no action part, or nothing else; few memories are not grouped."""
    monkeypatch.setattr(memory_index, "FEW", few)
    rows, queries = rows_of(400, seed=4), rows_of(30, seed=5)
    owners, own = np.zeros(400, int), np.full(30, NOBODY)
    found = search(filled(rows, 200, 100, head=head), queries, 3)
    assert found == brute_force(rows, queries, 3, owners, own)


def test_what_is_found_does_not_depend_on_the_other_queries(small):
    rows, queries = rows_of(130, seed=6), rows_of(20, seed=7)
    index = filled(rows)
    together = search(index, queries, 3)
    assert [search(index, queries[i], 3)[0] for i in range(20)] == together


def test_columns_in_any_order_are_the_same_row(small):
    rows, queries = rows_of(200, seed=8), rows_of(20, seed=9)

    def turned(m):
        """The same matrix, each row's columns stored from the last to the first."""
        ends = zip(m.indptr[:-1], m.indptr[1:], strict=True)
        back = np.concatenate([np.arange(a, b)[::-1] for a, b in ends])
        return csr_matrix((m.data[back], m.indices[back], m.indptr), m.shape)

    assert search(filled(turned(rows)), turned(queries), 3) == search(filled(rows), queries, 3)


def test_most_memories_are_not_looked_at(monkeypatch):
    """Where the very action is known with like states, its group is all that is opened."""
    monkeypatch.setattr(memory_index, "FEW", 0)
    rng = np.random.default_rng(0)
    actions = csr_matrix(np.eye(50, dtype=np.float32))[rng.integers(50, size=5000)]
    states = random(5000, 20, 0.5, format="csr", dtype=np.float32, random_state=rng)
    rows = normalize(hstack([actions * 0.6**0.5, normalize(states) * 0.4**0.5]).tocsr())
    index = filled(rows, head=50)
    compare, seen = memory_index._Search.compare, []

    def counted(self, members, block, ids):
        seen.append(len(members) * len(ids))
        compare(self, members, block, ids)

    monkeypatch.setattr(memory_index._Search, "compare", counted)
    search(index, rows[:100], 4)
    assert sum(seen) < 100 * 5000 / 40


def test_adding_one_by_one_sorts_each_memory_a_few_times(monkeypatch):
    sort, sorted_rows = memory_index._Part.of.__func__, []

    def counted(cls, rows, *rest):
        sorted_rows.append(rows.shape[0])
        return sort(cls, rows, *rest)

    monkeypatch.setattr(memory_index._Part, "of", classmethod(counted))
    n, rows = 300, rows_of(300, seed=10)
    index = filled(rows, *[1] * (n - 1))
    assert len(index._parts) <= 1 + math.log(n, memory_index.MERGE)
    assert sum(sorted_rows) < 4 * n * math.log2(n)
    assert sorted(i for part in index._parts for i in part.ids) == list(range(n))


def test_nothing_to_add_and_nothing_to_find():
    index, query = filled(rows_of(30, seed=11)), rows_of(30, seed=12)[:1]
    index.add(query[:0])
    assert index.size == 30
    assert search(index, query, 3, owners=np.full(30, GONE)) == [[]]
    assert search(MemoryIndex(HEAD), query, 3) == [[]]


# ---- dense rows, and rows that go ---------------------------------------------------------


@pytest.mark.parametrize("few", [0, 10_000])
@pytest.mark.parametrize("head", [0, HEAD])
@pytest.mark.parametrize("k", [1, 4, 200])
def test_dense_rows_are_found_as_sparse_ones_are(monkeypatch, few, head, k):
    """To five decimals; twins go to the older one, although a dense product adds up as it likes."""
    monkeypatch.setattr(memory_index, "FEW", few)
    monkeypatch.setattr(memory_index, "FIRST", 3)
    rows, queries = rows_of(130, seed=13).toarray(), rows_of(20, seed=14).toarray()
    queries = np.concatenate([queries, rows[:20]])
    rng = np.random.default_rng(15)
    owners, own = rng.integers(-1, 6, 130), rng.integers(0, 6, 40)
    found = search(filled(rows, 100, 16, 3, 2, 1, head=head), queries, k, owners, own)
    for query, name, best in zip(queries, own, found, strict=True):
        allowed = np.flatnonzero((owners != GONE) & (owners != name))
        cosine = (rows.astype(np.float64) @ query).round(5)
        order = sorted(allowed.tolist(), key=lambda i: (-cosine[i], i))[:k]
        assert [c for _, c in best] == pytest.approx(cosine[order], abs=2e-5)
        numbers = [i for i, _ in best]
        assert len(set(numbers)) == len(numbers) and set(numbers) <= set(allowed.tolist())
        assert cosine[numbers] == pytest.approx(cosine[order], abs=2e-5)
    twins = search(filled(rows, 100, 16, 3, 2, 1, head=head), rows[-13:], 2)
    assert [[i for i, _ in best] for best in twins] == [[i, 117 + i] for i in range(13)]


def test_most_dense_memories_are_not_looked_at_either(monkeypatch):
    monkeypatch.setattr(memory_index, "FEW", 0)
    rng = np.random.default_rng(0)
    actions = np.eye(50, dtype=np.float32)[rng.integers(50, size=5000)]
    states = normalize(rng.random((5000, 20), np.float32))
    index = filled(np.hstack([actions * 0.6**0.5, states * 0.4**0.5]), head=50)
    compare, seen = memory_index._Search.compare, []

    def counted(self, members, block, ids):
        seen.append(len(members) * len(ids))
        compare(self, members, block, ids)

    monkeypatch.setattr(memory_index._Search, "compare", counted)
    search(index, np.hstack([actions * 0.6**0.5, states * 0.4**0.5])[:100], 4)
    assert sum(seen) < 100 * 5000 / 40


@pytest.mark.parametrize("dense", [False, True])
def test_what_is_dropped_is_gone_and_the_others_are_numbered_anew(small, dense):
    rows, more, queries = rows_of(130, seed=16), rows_of(30, seed=17), rows_of(20, seed=18)
    if dense:
        rows, more, queries = (r.toarray() for r in (rows, more, queries))
    gone = np.random.default_rng(19).random(130) < 0.7
    gone[100:119] = True  # one part as a whole
    index = filled(rows, 100, 19, 3)
    index.drop(gone)
    index.add(more)
    stack = np.concatenate if dense else vstack
    expected = filled(stack([rows[np.flatnonzero(~gone)], more]))
    assert index.size == expected.size == 30 + np.count_nonzero(~gone)
    assert search(index, queries, 5) == search(expected, queries, 5)
    index.drop(np.ones(index.size, bool))
    assert (index.size, search(index, queries[:1], 2)) == (0, [[]])
