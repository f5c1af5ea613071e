"""Each φ gives unit rows in which the action weighs, and the buffer finds by it what is nearest."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from dreamgym_nb import encoders
from dreamgym_nb.encoders import HiddenStateEncoder, SentenceEncoder, TfidfEncoder
from dreamgym_nb.errors import UserError
from dreamgym_nb.replay_buffer import ReplayBuffer

PAIRS = [
    ("search page", "search[red mug]"),
    ("search page", "click[buy now]"),
    ("item b1 mug $5\ncolor: red blue\nback to search", "click[red]"),
    ("item b1 mug $5\ncolor: red blue\nback to search", "click[buy now]"),
]
ODD = [("", ""), ("日本語", "🙂"), ("x" * 20_000, "["), PAIRS[0]]


class Letters:
    """A sentence model that counts letters; knows no file but its own name."""

    def __init__(self, name):
        if name != "letters":
            raise OSError(f"{name} is not here\nand more lines")
        self.texts = []

    def encode(self, texts, show_progress_bar):
        self.texts += texts
        return np.array([[1 + t.count(c) for c in "abcdeginrsu"] for t in texts], np.float64)


@pytest.fixture
def letters(monkeypatch):
    """`sentence_transformers` with that model in it."""
    library = ModuleType("sentence_transformers")
    library.SentenceTransformer = Letters
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)


@pytest.fixture(params=["tfidf", "hidden", "sentence"])
def make(request, untrained, letters):
    """A maker of encoders, given the weight of the action."""
    return {
        "tfidf": TfidfEncoder,
        "hidden": lambda w=0.6: HiddenStateEncoder(untrained, w),
        "sentence": lambda w=0.6: SentenceEncoder("letters", w),
    }[request.param]


def dense(rows):
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


# ---- what every encoder does ----------------------------------------------------------


def test_the_cosine_weighs_action_against_state(make):
    both = {w: dense(make(w).fit(PAIRS)(PAIRS)) for w in (0.0, 0.3, 1.0)}
    states, mixed, actions = (rows @ rows.T for rows in both.values())
    assert mixed == pytest.approx(0.3 * actions + 0.7 * states, abs=1e-5)
    assert actions[1, 3] == pytest.approx(1.0, abs=1e-6), "one action in two states"
    assert states[0, 1] == pytest.approx(1.0, abs=1e-6), "two actions in one state"
    assert actions[0, 1] < 0.95 and states[0, 2] < 0.95


def test_the_leading_columns_depend_on_the_action_alone(make):
    encoder = make().fit(PAIRS)
    heads = dense(encoder(PAIRS))[:, : encoder.action_features]
    assert (heads[1] == heads[3]).all() and (heads[0] != heads[1]).any()
    assert (heads**2).sum(axis=1) == pytest.approx(np.full(4, 0.6), abs=1e-5)


def test_rows_are_of_length_1_whatever_is_asked(make):
    rows = dense(make().fit(PAIRS)(ODD))
    lengths = np.linalg.norm(rows, axis=1)
    assert np.isfinite(rows).all() and rows.dtype == np.float32
    assert all(n == pytest.approx(1.0, abs=1e-5) or n == 0 for n in lengths)
    assert lengths[3] == pytest.approx(1.0, abs=1e-5)


def test_a_buffer_finds_by_it_what_brute_force_finds(make, transitions):
    """Whatever the trajectories that are left out, and while it grows."""
    buffer = ReplayBuffer(transitions[:100], make())
    buffer.add(transitions[100:150])
    asked = transitions[::12]
    pairs, own = [(t.state, t.action) for t in asked], [t.trajectory for t in asked]
    memories = buffer.transitions
    rows = dense(buffer.encoder([(t.state, t.action) for t in memories]))
    owners = {}
    for t in transitions[:150]:
        owners.setdefault((t.state, t.action, t.observation), set()).add(t.trajectory)
    cosines = dense(buffer.encoder(pairs)) @ rows.T
    for name, cosine, found in zip(own, cosines, buffer.retrieve(pairs, 3, own), strict=True):
        kept = [
            c
            for c, m in zip(cosine, memories, strict=True)
            if owners[m.state, m.action, m.observation] != {name}
        ]
        assert [c for _, c in found] == pytest.approx(sorted(kept, reverse=True)[:3], abs=2e-5)
        for m, c in found:
            assert c == pytest.approx(cosine[memories.index(m)], abs=2e-5)


# ---- a language model's hidden states ---------------------------------------------------


def test_hidden_states_are_the_mean_over_each_text(untrained):
    """Read one text at a time, and without its shortcuts, the model says the same."""

    def read(text):
        tokens = torch.tensor([untrained.tokenizer.encode(text)])
        with torch.no_grad():
            out = untrained.model(input_ids=tokens, output_hidden_states=True)
        return out.hidden_states[-1][0].mean(dim=0).numpy()

    encoder = HiddenStateEncoder(untrained, 0.6).fit(PAIRS)
    actions = np.array([read(f"\nAction: {a}") for _, a in PAIRS])
    states = np.array([read(f"\nState: {s}") for s, _ in PAIRS])
    parts = [v - v.mean(axis=0) for v in (actions, states)]
    parts = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in parts]
    expected = np.hstack([0.6**0.5 * parts[0], 0.4**0.5 * parts[1]])
    assert encoder(PAIRS) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("tokens", [1, 40, 4096])
def test_how_texts_are_batched_changes_nothing(untrained, transitions, tokens, monkeypatch):
    pairs = [(t.state, t.action) for t in transitions[:20]]
    expected = HiddenStateEncoder(untrained).fit(pairs)(pairs)
    monkeypatch.setattr(encoders, "TOKENS_PER_PASS", tokens)
    assert HiddenStateEncoder(untrained).fit(pairs)(pairs) == pytest.approx(expected, abs=1e-4)


def test_training_the_model_leaves_the_encoder_as_it_is(lm, transitions):
    encoder = HiddenStateEncoder(lm).fit(PAIRS)
    before = encoder(PAIRS)
    with torch.no_grad():
        for p in lm.model.parameters():
            p.mul_(2.0)
    encoder._known.clear()
    assert (encoder(PAIRS) == before).all()


@pytest.mark.parametrize("room", [200_000, 3])
def test_a_text_is_encoded_once_while_there_is_room(letters, room, monkeypatch):
    monkeypatch.setattr(encoders, "REMEMBERED", room)
    encoder = SentenceEncoder("letters").fit(PAIRS)
    rows = encoder(PAIRS)
    assert (encoder(PAIRS) == rows).all()
    texts = {text for pair in PAIRS for text in pair}
    assert len(encoder.model.texts) == len(texts) * (1 if room > 3 else 3)
    assert len(encoder._known) <= len(texts)


# ---- sentence-transformers ----------------------------------------------------------------


def test_without_the_library_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match=r'pip install "dreamgym_nb\[embeddings\]"'):
        SentenceEncoder("any")


def test_a_model_that_is_not_there_gets_a_sentence(letters):
    with pytest.raises(UserError, match=r"'other' .*\(other is not here\).* only a local folder"):
        SentenceEncoder("other")


def test_a_real_sentence_model_in_a_local_folder(untrained, tmp_path):
    """Made here of the tiny model: its mean-pooled hidden states, so both must agree."""
    library = pytest.importorskip(
        "sentence_transformers",
        reason='needs sentence-transformers: pip install "dreamgym_nb[embeddings]"',
    )
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    untrained.save(tmp_path / "lm")
    parts = [modules.Transformer(str(tmp_path / "lm")), modules.Pooling(32)]
    library.SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "model"))
    encoder = SentenceEncoder(str(tmp_path / "model")).fit(PAIRS)
    expected = HiddenStateEncoder(untrained)
    expected.markers, expected.centre = ("", ""), False
    assert encoder(PAIRS) == pytest.approx(expected.fit(PAIRS)(PAIRS), abs=1e-4)
    with pytest.raises(UserError, match="only a local folder works"):
        SentenceEncoder(str(tmp_path / "nothing"))
