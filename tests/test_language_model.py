"""Tokens, the cache and the checkpoint: what is read back, computed and loaded is exact."""

import json
import os
import re

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dreamgym_nb.agent import action_of, transcript
from dreamgym_nb.errors import UserError
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import (
    Format,
    action_text,
    experience_target,
    first_turn,
    next_turn,
    parse_target,
)

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


def test_what_is_forgotten_is_encoded_alike_again(untrained):
    before = untrained.encode("search[a mug]")
    assert untrained.encode("search[a mug]") is before, "remembered"
    untrained.forget()
    again = untrained.encode("search[a mug]")
    assert again == before and again is not before


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
    lm.draft += 3
    assert lm.copy().draft == lm.draft
    lm.draft -= 3


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


# ---- models with another end of text ---------------------------------------------------


def foreign_tokenizer(texts, eos="</s>"):
    """A byte-level tokenizer as those of the hub, whose end of text is not ours."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=400, special_tokens=[eos, "<pad>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, eos_token=eos, pad_token="<pad>"
    )


def test_a_models_own_end_of_text_stands_for_ours(texts):
    tokenizer = foreign_tokenizer(texts[:200])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
    )
    lm = LanguageModel(LlamaForCausalLM(config).eval(), tokenizer)
    target = experience_target("all is well", "page 1", 1.0, True, Format())
    tokens = lm.encode(target)
    assert tokens[-1] == lm.eos and tokens.count(lm.eos) == 1, "it learns where to stop"
    assert parse_target(lm.decode(tokens)) == parse_target(target) is not None
    assert action_of(lm.decode(lm.encode(action_text("click[b1]")))) == "click[b1]"


def test_a_model_that_cannot_end_a_text_is_refused(lm):
    class Split(type(lm.tokenizer)):
        def encode(self, text, **options):
            return [3, 4]

    tokenizer = Split(
        tokenizer_object=lm.tokenizer.backend_tokenizer, eos_token="<eos>", pad_token="<pad>"
    )
    with pytest.raises(UserError, match="nothing written would ever end"):
        LanguageModel(lm.model, tokenizer)


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused(lm, monkeypatch):
    prompt = lm.encode("\n".join(["search page"] * 30))
    lm.model.config.max_position_embeddings = len(prompt) + 4
    assert len(lm.generate([prompt, prompt[:3]], 4)) == 2
    with pytest.raises(UserError, match=f"takes {len(prompt) + 5} tokens, .*fewer memories"):
        lm.generate([prompt[:3], prompt], 5)
    monkeypatch.setattr(type(lm), "context", None)
    assert len(lm.generate([prompt], 5)) == 1, "a model that does not say what it reads is asked"
