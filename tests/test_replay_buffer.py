"""The memory finds what brute force finds, never one's own answer, and never prefers a dream."""

import dataclasses
import random

import numpy as np
import pytest

from dreamgym_nb import memory_index
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Transition
from dreamgym_nb.replay_buffer import ReplayBuffer, TfidfEncoder


def make(state="s", action="a", observation="o", trajectory="t0", source="real"):
    """A transition of which only these matter."""
    texts = (state, action, "", observation, observation)
    return Transition(Task("shop", "1", "x"), (), *texts, 0.0, False, source, trajectory)


def held(buffer):
    return [(t.state, t.action, t.observation, t.source) for t in buffer.transitions]


def found(buffer, query, k=9, own=None):
    (memories,) = buffer.retrieve([query], k, None if own is None else [own])
    return [m.observation for m, _ in memories]


# ---- retrieval ------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("leave_own_out", [False, True])
def test_top_k_is_what_brute_force_finds(transitions, k, leave_own_out):
    """Cosines from dense vectors, one query at a time; ties go to the older memory."""
    buffer = ReplayBuffer(transitions[::2])
    queries = transitions[:60]
    pairs = [(t.state, t.action) for t in queries]
    own = [t.trajectory for t in queries] if leave_own_out else None
    owners = {}
    for t in transitions[::2]:
        owners.setdefault((t.state, t.action, t.observation), set()).add(t.trajectory)
    keys = [(t.state, t.action, t.observation) for t in buffer.transitions]
    memories = buffer.encoder([key[:2] for key in keys]).toarray()
    for query, pair, result in zip(queries, pairs, buffer.retrieve(pairs, k, own), strict=True):
        vector = buffer.encoder([pair]).toarray()[0]
        norms = np.linalg.norm(memories, axis=1) * np.linalg.norm(vector)
        cosine = memories @ vector / norms
        allowed = [
            i
            for i, key in enumerate(keys)
            if not (leave_own_out and owners[key] == {query.trajectory})
        ]
        best = sorted(cosine[allowed], reverse=True)[:k]
        assert [c for _, c in result] == pytest.approx(best, abs=1e-5)
        places = [buffer.transitions.index(m) for m, _ in result]
        assert set(places) <= set(allowed) and len(set(places)) == len(places) == k
        for place, (_, c) in zip(places, result, strict=True):
            assert c == pytest.approx(cosine[place], abs=1e-5), "the memory and its own cosine"


def test_equal_cosines_go_to_the_older_memory():
    """However many of them: all of these say the same words in another order."""
    words = [f"x{i} y" for i in range(60)]
    buffer = ReplayBuffer([make(state="y", action="click[b]", observation=w) for w in words])
    assert found(buffer, ("y", "click[b]"), k=5) == words[:5]
    assert found(buffer, ("y", "click[b]"), k=60) == words


def test_memories_lie_close_by_action_and_by_state():
    buffer = ReplayBuffer(
        [
            make("item b1 mug", "click[red]", "chosen"),
            make("item b2 rug", "click[blue]", "other action, other state"),
            make("item b2 rug", "click[red]", "same action"),
            make("item b1 mug", "click[blue]", "same state"),
        ]
    )
    order = ["chosen", "same action", "same state", "other action, other state"]
    assert found(buffer, ("item b1 mug", "click[red]")) == order
    ((memory, cosine), *_) = buffer.retrieve([("item b1 mug", "click[red]")], 1)[0]
    assert memory.observation == "chosen" and cosine == pytest.approx(1.0, abs=1e-6)


def test_the_cosine_weighs_action_against_state():
    pairs = [("red mug", "click[a]"), ("red mug", "click[b]"), ("big rug", "click[a]")]
    for weight in (0.0, 0.3, 1.0):
        encoder = TfidfEncoder(weight).fit(pairs)
        rows = encoder(pairs).toarray()
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
        actions = TfidfEncoder(1.0).fit(pairs)(pairs).toarray()
        states = TfidfEncoder(0.0).fit(pairs)(pairs).toarray()
        expected = weight * (actions @ actions.T) + (1 - weight) * (states @ states.T)
        assert rows @ rows.T == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("pair", [("", ""), ("日本語", "🙂"), ("x" * 100_000, "[")])
def test_any_query_is_answered(transitions, pair):
    buffer = ReplayBuffer(transitions[:30])
    ((*memories,),) = buffer.retrieve([pair], 3)
    assert len(memories) == 3 and all(np.isfinite(c) for _, c in memories)


def test_k_0_and_k_larger_than_the_buffer():
    buffer = ReplayBuffer([make(action=f"click[b{i}]", observation=str(i)) for i in range(5)])
    pairs = [("s", "click[b1]"), ("s", "click[b2]")]
    assert buffer.retrieve(pairs, 0) == [[], []]
    assert buffer.retrieve([], 3) == []
    for memories, first in zip(buffer.retrieve(pairs, 99), "12", strict=True):
        assert [m.observation for m, _ in memories][0] == first
        assert sorted(m.observation for m, _ in memories) == list("01234")


def test_many_queries_are_answered_as_one_by_one(transitions):
    """Queries are worked off in parts of 256; each meets its own exclusion."""
    buffer = ReplayBuffer(transitions)
    pairs = [(t.state, t.action) for t in transitions]
    own = [t.trajectory for t in transitions]
    at_once = buffer.retrieve(pairs, 2, own)
    assert len(pairs) > 300
    for i in (0, 255, 256, 300, len(pairs) - 1):
        assert buffer.retrieve([pairs[i]], 2, [own[i]]) == [at_once[i]]


def test_two_buffers_of_one_encoder_do_not_meddle():
    encoder = TfidfEncoder()
    first = ReplayBuffer([make("red box", "open box"), make("blue bag", "take bag")], encoder)
    ReplayBuffer([make("a quite different world", "say words")], encoder)
    ((memory, cosine),) = first.retrieve([("red box", "open box")], 1)[0]
    assert memory.action == "open box" and cosine == pytest.approx(1.0)
    assert first.add([make("green box", "open box")]) == 1


def test_an_exclusion_for_each_query_or_a_sentence():
    buffer = ReplayBuffer([make()])
    with pytest.raises(UserError, match="1 trajectories to exclude for 2 queries"):
        buffer.retrieve([("s", "a"), ("s", "b")], 1, ["t0"])


# ---- one's own trajectory ---------------------------------------------------------------


def test_a_trajectory_does_not_find_itself_and_what_others_made_too_stays():
    buffer = ReplayBuffer(
        [
            make(action="click[a]", observation="mine", trajectory="t1"),
            make(action="click[b]", observation="ours", trajectory="t1"),
            make(action="click[b]", observation="ours", trajectory="t2"),
            make(action="click[c]", observation="theirs", trajectory="t2"),
        ]
    )
    assert len(buffer) == 3
    query = ("s", "click[a]")
    assert sorted(found(buffer, query, own="t1")) == ["ours", "theirs"]
    assert sorted(found(buffer, query, own="t2")) == ["mine", "ours"]
    assert len(found(buffer, query, own="t3")) == 3
    assert buffer.retrieve([query, query], 9, ["t1", None])[1][0][0].observation == "mine"


def test_no_memory_is_left_when_all_are_one_s_own():
    buffer = ReplayBuffer([make(action=f"click[{i}]", trajectory="t1") for i in range(40)])
    assert found(buffer, ("s", "click[0]"), own="t1") == []


def test_many_own_memories_do_not_hide_the_others():
    """The best memories are all one's own; the search goes on behind them."""
    own = [make(action="click[a] x", observation=f"{i}", trajectory="t1") for i in range(200)]
    other = make(state="far away", action="search[q]", observation="other", trajectory="t2")
    assert found(ReplayBuffer([*own, other]), ("s", "click[a] x"), k=3, own="t1") == ["other"]


# ---- growth: reality and dreams ------------------------------------------------------------


def test_the_buffer_grows_by_what_is_new():
    buffer = ReplayBuffer([make(state="b c", action="click[a b c]")])  # φ knows the words of this
    assert (len(buffer), dict(buffer.sources)) == (1, {"real": 1})
    dreamed = [make(action=f"click[{i}]", source="dream", trajectory="d1") for i in "bcb"]
    assert buffer.add(dreamed) == 2, "the third says what the first said"
    assert buffer.add(dreamed) == 0
    assert buffer.add([]) == 0
    assert (len(buffer), dict(buffer.sources)) == (3, {"real": 1, "dream": 2})
    ((memory, cosine),) = buffer.retrieve([("s", "click[c]")], 1)[0]
    assert memory == dreamed[1] and cosine == pytest.approx(1.0, abs=1e-6)


def test_words_that_the_log_did_not_have_can_still_be_added():
    buffer = ReplayBuffer([make(state="red mug", action="click[a]")])
    assert buffer.add([make(state="日本語", action="🙂", observation="new", source="dream")]) == 1
    assert sorted(found(buffer, ("red mug", "click[a]"))) == ["new", "o"]


def test_a_dream_never_answers_what_reality_has_answered():
    buffer = ReplayBuffer([make(observation="fact")])
    dream = make(observation="fancy", source="dream", trajectory="d1")
    assert buffer.add([dream]) == 0
    assert held(buffer) == [("s", "a", "fact", "real")]
    assert buffer.add([make(action="b", observation="new fact", trajectory="t9")]) == 1
    assert buffer.add([dataclasses.replace(dream, action="b")]) == 0


@pytest.mark.parametrize("dreams_first", [True, False])
def test_in_one_batch_reality_comes_first_too(dreams_first):
    batch = [make(action="b", observation="fancy", source="dream"), make(action="b")]
    buffer = ReplayBuffer([make(action="c")])
    assert buffer.add(batch if dreams_first else batch[::-1]) == 1
    assert held(buffer) == [("s", "c", "o", "real"), ("s", "b", "o", "real")]


def test_a_fact_takes_the_place_of_dreams_of_it():
    buffer = ReplayBuffer([make(action="click[a b c]")])
    fancies = [
        make(action="click[b]", observation=o, source="dream", trajectory="d1")
        for o in ("fancy", "fact")
    ]
    other = make(action="click[c]", observation="other", source="dream", trajectory="d2")
    assert buffer.add([*fancies, other]) == 3
    assert buffer.add([make(action="click[b]", observation="fact", trajectory="t5")]) == 1
    assert sorted(held(buffer)) == [
        ("s", "click[a b c]", "o", "real"),
        ("s", "click[b]", "fact", "real"),
        ("s", "click[c]", "other", "dream"),
    ]
    assert found(buffer, ("s", "click[b]"), k=1) == ["fact"]
    assert found(buffer, ("s", "click[c]"), k=1) == ["other"], "the others are still found"
    assert buffer.add([fancies[0], other]) == 0


def test_a_dream_that_repeats_a_fact_is_no_second_witness():
    """Else a model would look up its own answer as soon as it had dreamed it once."""
    buffer = ReplayBuffer([make(trajectory="t1"), make(action="b", trajectory="t2")])
    buffer.add([make(source="dream", trajectory="d1")])
    memories = buffer.retrieve([("s", "a")], 9, ["t1"])[0]
    assert [m.action for m, _ in memories] == ["b"]


def test_two_real_answers_to_one_question_are_both_kept():
    buffer = ReplayBuffer([make(observation="one"), make(observation="two", trajectory="t1")])
    assert sorted(found(buffer, ("s", "a"))) == ["one", "two"]


class BruteForce:
    """The rules of the buffer once more, each the short way: all is looked through every time."""

    def __init__(self, transitions):
        self.encoder = TfidfEncoder().fit([(t.state, t.action) for t in transitions])
        self.transitions, self.owners = [], []
        self.add(transitions)

    def add(self, transitions):
        real = {(t.state, t.action) for t in transitions if t.source == "real"}
        both = list(zip(self.transitions, self.owners, strict=True))
        both = [(t, o) for t, o in both if t.source == "real" or (t.state, t.action) not in real]
        real |= {(t.state, t.action) for t, _ in both if t.source == "real"}
        before = len(both)
        for t in transitions:
            if t.source == "real" or (t.state, t.action) not in real:
                same = [(t.state, t.action, t.observation)]
                known = [o for m, o in both if (m.state, m.action, m.observation) in same]
                if known:
                    known[0].add(t.trajectory)
                else:
                    both.append((t, {t.trajectory}))
        self.transitions, self.owners = [t for t, _ in both], [o for _, o in both]
        return len(both) - before

    def retrieve(self, queries, k, exclude):
        rows = self.encoder([(t.state, t.action) for t in self.transitions])
        found = []
        for query, own in zip(queries, exclude, strict=True):
            cosine = (self.encoder([query]) @ rows.T).toarray()[0]
            allowed = [i for i, owners in enumerate(self.owners) if owners != {own}]
            order = sorted(allowed, key=lambda i: (-cosine[i], i))[:k]
            found.append([(self.transitions[i], float(cosine[i])) for i in order])
        return found


@pytest.mark.parametrize("few", [memory_index.FEW, 0])
def test_a_growing_buffer_is_what_brute_force_makes_of_it(transitions, few, monkeypatch):
    """The same memories in the same order with the same cosines, while facts and dreams come in."""
    monkeypatch.setattr(memory_index, "FEW", few)
    rng = random.Random(0)
    log, later = transitions[:200], transitions[200:320]
    pairs = [*{(t.state, t.action) for t in log[:40] + later[:60]}, ("", "click[?]"), ("new", "")]
    exclude = [rng.choice([None, "d1", log[0].trajectory, later[0].trajectory]) for _ in pairs]
    buffer, expected = ReplayBuffer(log), BruteForce(log)
    forgotten = 0
    for number in range(4):
        dreams = [
            dataclasses.replace(
                t,
                observation=t.observation + rng.choice(["", " again"]),
                source="dream",
                trajectory=f"d{rng.randrange(3)}",
            )
            for t in rng.sample(log + later, 60)
        ]
        batch = dreams + later[30 * number : 30 * number + 20]
        before = {id(t) for t in buffer.transitions}
        assert buffer.add(batch) == expected.add(batch)
        assert buffer.transitions == expected.transitions
        assert len(buffer) == len(expected.transitions) == sum(buffer.sources.values())
        forgotten += len(before - {id(t) for t in buffer.transitions})
        for k in (1, 5):
            assert buffer.retrieve(pairs, k, exclude) == expected.retrieve(pairs, k, exclude)
    assert forgotten > 5, "facts took the place of dreams"


def test_adding_does_not_look_through_what_is_held(transitions):
    """So that the cost of an iteration does not grow with the buffer."""

    class Unread(list):
        def __iter__(self):
            raise AssertionError("all memories were looked at")

    encoded = []

    class Counted(TfidfEncoder):
        def __call__(self, pairs):
            encoded.append(len(pairs))
            return super().__call__(pairs)

    buffer = ReplayBuffer(transitions[:200], Counted())
    buffer._memories = Unread(buffer._memories)
    dream = dataclasses.replace(transitions[0], action="click[dream]", source="dream")
    assert buffer.add([dream]) == 1
    assert buffer.add([dream]) == 0
    assert buffer.add([dataclasses.replace(dream, source="real")]) == 1
    assert encoded[1:] == [1, 1]
    assert [m.source for m, _ in buffer.retrieve([(dream.state, dream.action)], 1)[0]] == ["real"]


def test_an_empty_start_gets_a_sentence():
    with pytest.raises(UserError, match="starts with at least one transition of the log"):
        ReplayBuffer([])
