"""Tokens, the cache and the checkpoint: what is read back, computed and loaded is exact."""

import json
import os
import re

import pytest
import torch

from dreamgym_nb.agent import transcript
from dreamgym_nb.errors import UserError
from dreamgym_nb.language_model import LanguageModel, Session
from dreamgym_nb.prompts import action_text, first_turn, next_turn

FOREIGN = [
    "日本語のページ",
    "Ελληνικά, русский, العربية",
    "🙂 and 👩‍👩‍👧",
    "a\n\nb\n\n",
    "\nfirst line empty",
    "two  spaces   three",
    "ends in a space ",
    "tab\there \r\n and \x00",
    "e\u0301 is not é; ﬁ, ½ and \u00a0 stay what they are",
    "line \u2028 ends \x85 of others",
    "[[ [a] ]] [ b ] ][ [",
    "x [\n] y \n [z",
    "click[click[search[]]",
    "$$$ $9 $10.50 <p> </p> <e> os>",
    "UPPER lower MiXeD",
    "a" * 500,
]


def logits_of(lm, tokens):
    """The logits after each token, from one pass over one text, without cache or padding."""
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].float()


def logprobs_of(lm, tokens, start, temperature=1.0):
    """Log-probabilities of ``tokens[start:]`` given all before, from one full pass."""
    table = torch.log_softmax(logits_of(lm, tokens) / temperature, dim=-1)
    return [table[i - 1, tokens[i]].item() for i in range(start, len(tokens))]


# ---- the tokenizer --------------------------------------------------------------------


def test_every_text_of_the_log_is_read_back(untrained, texts):
    for text in texts:
        # The blank before an action belongs to the turn before it; alone it is not written.
        assert untrained.decode(untrained.encode(text)) == text.removeprefix(" ")


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_foreign_text_is_read_back(untrained, text):
    tokens = untrained.encode(text)
    assert untrained.decode(tokens) == text
    inside = f"Task: {text}\nState: {text}"
    assert untrained.decode(untrained.encode(inside)) == inside


def test_no_token_is_unknown(untrained, texts):
    """The unknown token would be the padding; nothing may become it."""
    vocabulary = untrained.tokenizer.get_vocab()
    assert {f"<0x{byte:02X}>" for byte in range(256)} <= set(vocabulary)
    assert vocabulary["<pad>"] == untrained.pad and vocabulary["<eos>"] == untrained.eos
    for text in (*texts, *FOREIGN):
        tokens = untrained.encode(text)
        assert untrained.pad not in tokens
        assert tokens.count(untrained.eos) == text.count("<eos>")


def test_words_and_phrases_of_the_shop_are_one_token_each(untrained):
    pieces = untrained.tokenizer.convert_ids_to_tokens
    page = pieces(untrained.encode("Task: b1\nObservation: page 1 of 2\nback to search | next >"))
    for phrase in ("▁Task:", "▁\n▁Observation:", "▁page", "▁back▁to▁search", "▁next▁>"):
        assert phrase in page
    assert pieces(untrained.encode(" click[buy now]<eos>")) == [
        "▁click[",
        "▁buy▁now",
        "▁]",
        "<eos>",
    ]


def test_a_thing_is_the_same_token_on_the_page_and_in_the_action(untrained, log):
    ids = set(re.findall(r"\bb\d+\b", " ".join(t.observation for t in log[0].transitions)))
    assert ids
    for id in ids:
        (token,) = untrained.encode(id)
        assert token in untrained.encode(f"x\n{id} plain mug $5\ny")
        assert token in untrained.encode(action_text(f"click[{id}]"))


def test_encoding_turn_by_turn_is_encoding_at_once(untrained, log):
    odd = ["", " ", "日本語", "click[b1", "]", "\n", "a  b ", "\n\nx", "[[", "🙂"]
    for trajectory in log:
        parts = [first_turn(trajectory.task.instruction, trajectory.observation)]
        for t in trajectory.transitions:
            parts += [action_text(t.action), next_turn(t.observation)]
        parts += [part for text in odd for part in (action_text(text), next_turn(text or "x"))]
        at_once = untrained.encode("".join(parts))
        assert [token for part in parts for token in untrained.encode(part)] == at_once


def test_a_transcript_counts_the_actions_and_nothing_else(untrained, log):
    for trajectory in log[:20]:
        sample = transcript(trajectory, untrained)
        kept = [t for t, c in zip(sample.tokens, sample.counted, strict=True) if c]
        texts = [action_text(t.action) for t in trajectory.transitions]
        assert kept == [token for text in texts for token in untrained.encode(text)]
        whole = first_turn(trajectory.task.instruction, trajectory.observation) + texts[0]
        for text, t in zip(texts[1:], trajectory.transitions, strict=False):
            whole += next_turn(t.observation) + text
        assert list(sample.tokens) == untrained.encode(whole)


# ---- the session: one cache over many turns ----------------------------------------------


def talk(lm, turns, temperature, seed=0, drop=True):
    """Three turns of four rows of different length; rows leave. Returns tokens and logprobs."""
    generator = torch.Generator().manual_seed(seed)
    session, live = Session(lm, len(turns)), list(range(len(turns)))
    tokens = [[] for _ in turns]
    said = [[] for _ in turns]  # (position of its first token, logprobs)
    for turn in range(3):
        chunks = [turns[i][turn] for i in live]
        session.read(chunks)
        for i, chunk, g in zip(live, chunks, session.write(5, temperature, generator), strict=True):
            tokens[i] += chunk
            said[i].append((len(tokens[i]), g.tokens, g.logprobs))
            tokens[i] += g.tokens
        if drop and turn == 0:
            kept = [3, 0, 2]  # row 1 leaves, and the others change places
            session.keep(kept)
            live = [live[r] for r in kept]
        elif drop and turn == 1:
            session.keep([1])
            live = [live[1]]
    return tokens, said


@pytest.fixture
def turns(lm, log):
    """Chunks of four rows and three turns; lengths differ in every turn."""
    chunks = []
    for row, trajectory in enumerate([t for t in log if len(t.transitions) >= 3][:4]):
        first = first_turn(trajectory.task.instruction, trajectory.observation)
        later = [next_turn(t.observation) for t in trajectory.transitions[:2]]
        chunks.append([lm.encode(text + " x" * 7 * row) for text in (first, *later)])
    assert all(len({len(row[turn]) for row in chunks}) == 4 for turn in range(3))
    return chunks


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("drop", [True, False])
def test_logprobs_from_the_cache_equal_a_full_pass(lm, turns, temperature, drop):
    # Sharper logits than an untrained model's, and an EOS now and then, so that rows end apart.
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(8.0)
    _, said = talk(lm, turns, temperature, drop=drop)
    lm.eos = said[0][0][1][1]  # the same draws again, so row 0 ends after two tokens at most
    tokens, said = talk(lm, turns, temperature, drop=drop)
    spoken = [len(row) for row in said]
    assert spoken == ([3, 1, 2, 2] if drop else [3, 3, 3, 3])
    lengths = set()
    for row, text in zip(said, tokens, strict=True):
        for start, ids, logprobs in row:
            expected = logprobs_of(lm, text[: start + len(ids)], start, temperature or 1.0)
            assert logprobs == pytest.approx(expected, abs=1e-5)
            assert len(ids) == 5 or ids[-1] == lm.eos
            assert lm.eos not in ids[:-1]
            lengths.add(len(ids))
    if temperature:
        assert len(lengths) > 1, "some rows ended before others"


def test_greedy_writes_the_likeliest_token(lm, turns):
    tokens, said = talk(lm, turns, 0.0)
    for row, text in zip(said, tokens, strict=True):
        for start, ids, _ in row:
            best = logits_of(lm, text)[start - 1 : start - 1 + len(ids)].argmax(-1).tolist()
            assert ids == best


def test_sampling_follows_the_probabilities(lm):
    """2,000 rows of one prompt: shares of the first token against the softmax, 5 sigma."""
    prompt = lm.encode("Task: find")
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(8.0)
    for temperature in (1.0, 0.5):
        expected = torch.softmax(logits_of(lm, prompt)[-1] / temperature, -1)
        generator = torch.Generator().manual_seed(1)
        written = lm.generate([prompt] * 2000, 1, temperature, 2000, generator)
        counts = torch.bincount(
            torch.tensor([g.tokens[0] for g in written]), minlength=len(expected)
        )
        spread = (expected * (1 - expected) / 2000).sqrt()
        assert ((counts / 2000 - expected).abs() <= 5 * spread + 1e-3).all()
        assert expected.max() > 0.02, "the shares are not all alike"


def test_all_rows_can_change_places(lm, turns):
    session = Session(lm, 2)
    session.read([turns[0][0], turns[1][0]])
    first = session.write(3, 0.0)
    session.keep([1, 0])
    session.read([turns[1][1], turns[0][1]])
    second = session.write(3, 0.0)
    for before, after, row in ((first[0], second[1], 0), (first[1], second[0], 1)):
        text = turns[row][0] + before.tokens + turns[row][1]
        expected = logprobs_of(lm, text + after.tokens, len(text))
        assert after.logprobs == pytest.approx(expected, abs=1e-5)


# ---- generate ----------------------------------------------------------------------------


def test_generate_is_independent_of_order_and_batch(lm, texts):
    """Greedy answers and their log-probabilities, whatever else is in the batch."""
    long = [text for text in texts if len(text) > 300]
    prompts = [lm.encode(text)[: 5 + 7 * n] for n, text in enumerate(long[:10])]
    assert [len(p) for p in prompts] == list(range(5, 75, 7))
    alone = [lm.generate([p], 6)[0] for p in prompts]
    order = [3, 9, 0, 7, 1, 8, 2, 6, 5, 4]
    for batch_size in (1, 3, 128):
        written = lm.generate([prompts[i] for i in order], 6, batch_size=batch_size)
        for i, g in zip(order, written, strict=True):
            assert g.tokens == alone[i].tokens
            assert g.logprobs == pytest.approx(alone[i].logprobs, abs=1e-5)
    for prompt, g in zip(prompts, alone, strict=True):
        assert g.logprobs == pytest.approx(
            logprobs_of(lm, prompt + g.tokens, len(prompt)), abs=1e-5
        )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_that_are_done_leave_no_trace_in_the_others(actor, shop, texts, temperature):
    """Rows of one batch end at different times; those that are done leave the cache."""
    tasks = shop.tasks("train")[:12]
    prompts = [actor.encode(first_turn(t.instruction, "search page")) for t in tasks]
    prompts += [actor.encode(text)[:50] for text in texts if len(text) > 300][:12]
    written = actor.generate(prompts, 12, temperature, generator=torch.Generator().manual_seed(0))
    lengths = sorted(len(g.tokens) for g in written)
    assert lengths[8] < lengths[-1], "some left long before others"
    for prompt, g in zip(prompts, written, strict=True):
        expected = logprobs_of(actor, prompt + g.tokens, len(prompt))
        assert g.logprobs == pytest.approx(expected, abs=1e-5)
        assert actor.eos not in g.tokens[:-1]
        assert len(g.tokens) == 12 or g.tokens[-1] == actor.eos
        if not temperature:
            assert g.tokens == actor.generate([prompt], 12)[0].tokens


def test_generate_stops_at_eos_and_at_the_limit(lm):
    prompt = lm.encode("Task: find a mug")
    (free,) = lm.generate([prompt], 6)
    assert len(free.tokens) == len(free.logprobs) == 6
    lm.eos = free.tokens[2]
    (stopped,) = lm.generate([prompt], 6)
    assert stopped.tokens == free.tokens[: free.tokens.index(lm.eos) + 1]
    assert lm.generate([], 6) == []


def test_sampling_is_fixed_by_its_generator(lm, texts):
    prompts = [lm.encode(text)[:20] for text in texts[:6]]

    def sample(seed):
        written = lm.generate(prompts, 5, 1.0, generator=torch.Generator().manual_seed(seed))
        return [g.tokens for g in written]

    assert sample(1) == sample(1) != sample(2)


# ---- copies and checkpoints ----------------------------------------------------------------


def test_the_seed_fixes_the_weights_and_leaves_torch_alone(texts):
    def weights(seed):
        lm = LanguageModel.tiny(texts[:50], seed=seed, width=32, layers=1)
        return torch.cat([p.detach().flatten() for p in lm.model.parameters()])

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = weights(1), weights(1), weights(2)
    assert torch.equal(torch.rand(3), expected), "making a model draws no number of the reader's"
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_copy_is_independent(lm):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    twin = lm.copy()
    assert torch.equal(torch.rand(3), expected), "copying draws no number of the reader's"
    before = [p.clone() for p in lm.model.parameters()]
    for mine, its in zip(lm.model.parameters(), twin.model.parameters(), strict=True):
        assert torch.equal(mine, its) and mine.data_ptr() != its.data_ptr()
    with torch.no_grad():
        for p in twin.model.parameters():
            p.add_(1.0)
    twin.model.config.note = "the twin's"
    assert all(torch.equal(a, b) for a, b in zip(before, lm.model.parameters(), strict=True))
    assert not hasattr(lm.model.config, "note")
    assert twin.parameters == lm.parameters
    tied = twin.model.get_input_embeddings().weight is twin.model.get_output_embeddings().weight
    assert tied, "still one matrix for reading and writing"
    assert not twin.model.training


def test_a_saved_model_is_loaded_as_it_was(tmp_path, lm, texts):
    prompts = [lm.encode(text)[:40] for text in texts[:5]]
    before = lm.generate(prompts, 5)
    lm.save(tmp_path / "model")
    loaded = LanguageModel.load(tmp_path / "model")
    assert loaded.fingerprint == lm.fingerprint
    assert (loaded.eos, loaded.pad, loaded.parameters) == (lm.eos, lm.pad, lm.parameters)
    assert not loaded.model.training
    for text in (*texts[:100], *FOREIGN):
        assert loaded.encode(text) == lm.encode(text)
        assert loaded.decode(loaded.encode(text)) == lm.decode(lm.encode(text))
    for a, b in zip(before, loaded.generate(prompts, 5), strict=True):
        assert a.tokens == b.tokens and a.logprobs == pytest.approx(b.logprobs, abs=1e-6)


def test_saving_replaces_the_whole_folder(tmp_path, lm):
    folder = lm.save(tmp_path / "model")
    (folder / "left over").write_text("from an older model", encoding="utf-8")
    with torch.no_grad():
        lm.model.lm_head.weight.zero_()
    lm.save(folder)
    assert not (folder / "left over").exists()
    assert os.listdir(tmp_path) == ["model"], "no draft and no old folder stay"
    assert LanguageModel.load(folder).model.lm_head.weight.abs().sum() == 0
    assert folder.stat().st_mode & 0o777 == 0o755, "others may read it"


def test_a_crash_while_saving_leaves_the_old_model(tmp_path, lm, monkeypatch):
    folder = lm.save(tmp_path / "model")
    expected = lm.model.lm_head.weight.detach().clone()

    def crash(*_, **__):
        raise OSError("the disk is full")

    monkeypatch.setattr(lm.tokenizer, "save_pretrained", crash)
    with torch.no_grad():
        lm.model.lm_head.weight.zero_()
    with pytest.raises(OSError, match="the disk is full"):
        lm.save(folder)
    monkeypatch.undo()
    assert torch.equal(LanguageModel.load(folder).model.lm_head.weight, expected)
    assert os.listdir(tmp_path) == ["model"]


def test_a_checkpoint_with_another_tokenizer_is_refused(tmp_path, lm, texts):
    folder = lm.save(tmp_path / "model")
    other = LanguageModel.tiny([*texts, "zebra zebra"], width=32, layers=1)
    assert other.fingerprint != lm.fingerprint
    other.tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"trained with another tokenizer \(vocabulary .*Copy the"):
        LanguageModel.load(folder)


def test_a_checkpoint_that_says_no_tokenizer_is_taken_as_it_is(tmp_path, lm):
    """Models of others do not know of our fingerprint."""
    folder = lm.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["dreamgym_vocabulary"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert LanguageModel.load(folder).fingerprint == lm.fingerprint


@pytest.mark.parametrize("left", [[], ["config.json"]])
def test_a_folder_that_is_no_checkpoint_gets_a_sentence(tmp_path, lm, left):
    folder = lm.save(tmp_path / "model")
    for name in set(os.listdir(folder)) - set(left):
        (folder / name).unlink()
    with pytest.raises(UserError, match=r"model is no saved model"):
        LanguageModel.load(folder)
    with pytest.raises(UserError, match=r"none is no saved model"):
        LanguageModel.load(tmp_path / "none")


def test_damaged_weights_get_a_sentence(tmp_path, lm):
    weights = lm.save(tmp_path / "model") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model is no saved model.*save the model again"):
        LanguageModel.load(tmp_path / "model")
