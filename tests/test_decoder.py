"""The pass that is written out says what the library's says, for the weights of now."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from dreamgym_nb.decoder import Decoder, can_be_written_out
from dreamgym_nb.generation import TOKENS_PER_PASS, Session, _parts
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.library_pass import LibraryPass

SHAPES = {
    "as ours": {},
    "fewer keys than heads": {"num_key_value_heads": 2},
    "scores of its own": {"tie_word_embeddings": False},
    "other places": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
}


def llama(**changes):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.4,
        **{"num_key_value_heads": 4, "tie_word_embeddings": True, **changes},
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():  # norms that do something
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    return model


@torch.inference_mode()
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_it_says_what_the_library_says(changes):
    model = llama(**changes)
    assert can_be_written_out(model)
    ids = torch.randint(50, (4, 9), generator=torch.Generator().manual_seed(1))
    lengths, places = torch.tensor([9, 4, 6, 2]), torch.arange(9).expand(4, 9)
    ways = [Decoder(model).begin(4), LibraryPass.begin(model, 4)]
    said = []
    for way in ways:
        every = way(ids[:3], places[:3], lengths[:3], part=slice(0, 3))
        last = way(ids[3:, :2], places[3:, :2], lengths[3:], True, slice(3, 4))
        assert every.shape == (9 + 4 + 6, 50) and last.shape == (1, 50)
        way.keep(torch.tensor([1, 3, 0, 1]))
        kept = lengths[[1, 3, 0, 1]]
        # Shorter rows may hold what padding wrote; their own next tokens go over it.
        next_ones = kept[:, None] + torch.arange(3)
        second = way(ids[:, 2:5], next_ones, torch.tensor([3, 1, 0, 2]))  # one row reads nothing
        kept = kept + torch.tensor([3, 1, 0, 2])
        third = way(ids[:, 5:9], kept[:, None] + torch.arange(4), torch.tensor([2, 4, 1, 1]), True)
        said.append([every, last, second, third])
    for ours, library in zip(*said, strict=True):
        assert library.abs().max() > 1
        assert (ours - library).abs().max() < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("kept", [[0, 3, 2], [3, 1], [2], [0, 1, 2, 3], [1, 3, 0, 1, 2]], ids=str)
@pytest.mark.parametrize("begin", [Decoder.begin, LibraryPass.begin])
def test_rows_that_are_kept_go_on_as_if_they_had_been_alone(begin, kept):
    model = llama()
    ids = torch.randint(50, (4, 9), generator=torch.Generator().manual_seed(3))
    said = []
    for in_place in (True, False):
        # Kept rows of a batch, and a batch that never had any others.
        rows = list(range(4)) if in_place else kept
        way = begin(Decoder(model) if begin is Decoder.begin else model, len(rows))
        places = torch.arange(6).expand(len(rows), 6)
        way(ids[rows, :6], places, torch.full((len(rows),), 6), True)
        if in_place:
            way.keep(torch.tensor(kept))
        where = torch.tensor([[6, 7]]).expand(len(kept), 2)
        said.append(way(ids[kept, 6:8], where, torch.full((len(kept),), 2)))
        way.reserve(100)  # more room, where the rows that left have none
        said.append(way(ids[kept, 8:], where[:, 1:] + 1, torch.ones(len(kept)).long()))
    for kept_rows, alone in zip(said[:2], said[2:], strict=True):
        assert kept_rows.abs().max() > 1 and (kept_rows - alone).abs().max() < 1e-4


@torch.inference_mode()
def test_a_row_is_what_one_plain_pass_says_of_its_whole_text():
    model = llama()
    ids = torch.randint(50, (2, 8), generator=torch.Generator().manual_seed(2))
    way = Decoder(model).begin(2)
    way(ids[:, :5], torch.arange(5).expand(2, 5), torch.tensor([5, 3]), True)
    where = torch.tensor([[5, 6], [3, 4]])  # the second row had only three tokens
    said = way(ids[:, 5:7], where, torch.tensor([2, 2]), True)
    texts = [ids[0, :7], torch.cat([ids[1, :3], ids[1, 5:7]])]
    for row, text in zip(said, texts, strict=True):
        assert torch.allclose(row, model(input_ids=text[None]).logits[0, -1], atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("begin", [Decoder.begin, LibraryPass.begin])
def test_one_row_may_begin_while_another_goes_on(begin):
    """As many tokens as slots in sight, and yet not all of them begin: the mask says which."""
    model = llama()
    ids = torch.randint(50, (2, 6), generator=torch.Generator().manual_seed(5))
    way = begin(Decoder(model) if begin is Decoder.begin else model, 2)
    way(ids[:1, :5], torch.arange(5)[None], torch.tensor([5]), True, slice(0, 1))
    where = torch.tensor([[5, 6, 7, 8, 9, 10], [0, 1, 2, 3, 4, 5]])
    mixed = torch.stack([ids[0].roll(1), ids[1]])  # row 0 has one token left, row 1 all six
    said = way(mixed, where, torch.tensor([1, 6]), True)
    for row, text in zip(said, ids, strict=True):
        assert torch.allclose(row, model(input_ids=text[None]).logits[0, -1], atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16)),
        llama(attention_bias=True),
        llama(hidden_act="gelu"),
        llama(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}),
        llama().to(torch.bfloat16),
    ],
    ids=["another kind", "biases", "gelu", "stretched places", "half precision"],
)
def test_what_it_does_not_know_goes_through_the_library(model, lm):
    assert not can_be_written_out(model)
    assert isinstance(LanguageModel(model, lm.tokenizer).begin(1), LibraryPass)


@pytest.fixture
def lm():
    return LanguageModel.tiny(["go to a shelf and take the mug"] * 3, width=16, layers=1, heads=2)


def scores(lm):
    session = Session(lm, 1)
    session.read([[5, 6, 7]])
    return session.logits.clone()


def test_weights_are_those_of_now(lm):
    """After an update, a load and a move of the weights alike; and laid out once for each."""
    lm.begin(1)
    decoder = lm._decoder[1]
    lm.begin(1)
    assert lm._decoder[1] is decoder
    before = scores(lm)
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=0.1)
    lm.model(input_ids=torch.tensor([[5, 6, 7]])).logits.square().mean().backward()
    optimizer.step()
    trained = scores(lm)
    assert (trained - before).abs().max() > 1e-2
    with torch.no_grad():
        expected = lm.model(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1]
    assert torch.allclose(trained[0], expected, atol=1e-4)
    other = LanguageModel.tiny(
        ["go to a shelf and take the mug"] * 3, seed=1, width=16, layers=1, heads=2
    )
    lm.model.load_state_dict(other.model.state_dict())
    assert torch.allclose(scores(lm), scores(other))


@pytest.mark.parametrize(
    "lengths", [[5], [TOKENS_PER_PASS + 1, 3, 3], [TOKENS_PER_PASS // 2] * 5, [3, 400, 2, 2]]
)
def test_rows_are_read_in_parts_that_fit(lengths):
    parts = list(_parts(lengths))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(len(lengths)))
    for part in parts:
        rows = lengths[part]
        assert len(rows) == 1 or max(rows) * len(rows) <= TOKENS_PER_PASS
