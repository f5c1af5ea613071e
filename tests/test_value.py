"""The value head and the look: the asked tokens' answers are those of a full pass."""

import pytest
import torch
import transformers

from dreamgym_nb.errors import UserError
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.value import ValueHead, look

SMALL = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MORE = {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
KINDS = {
    "llama": lambda: transformers.LlamaConfig(**SMALL, **MORE),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4),
    "qwen3": lambda: transformers.Qwen3Config(**SMALL, **MORE, tie_word_embeddings=True),
    "gemma2": lambda: transformers.Gemma2Config(**SMALL, **MORE, final_logit_softcapping=2.0),
}


def model_of(kind, tokenizer):
    torch.manual_seed(5)
    config = KINDS[kind]()
    config.pad_token_id = 0
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return LanguageModel(model.eval(), tokenizer)


def random_head(lm):
    head = ValueHead.on(lm)
    torch.nn.init.normal_(head.weight, std=0.3, generator=torch.Generator().manual_seed(2))
    torch.nn.init.constant_(head.bias, 0.1)
    return head


@pytest.fixture
def question():
    """Three texts of different lengths, padded on the right, and the tokens asked about."""
    random = torch.Generator().manual_seed(4)
    ids = torch.randint(1, 50, (3, 12), generator=random)
    asked = torch.rand(3, 12, generator=random) < 0.4
    for i, length in enumerate((12, 7, 9)):
        ids[i, length:], asked[i, length:] = 0, False
    asked[:, 0] = False
    return ids, asked


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_look_says_what_full_passes_say(kind, temperature, question, untrained):
    """One text at a time, without padding, scores for every place: the slow way."""
    lm, (ids, asked) = model_of(kind, untrained.tokenizer), question
    head = random_head(lm)
    with torch.no_grad():
        seen = look(lm, head, ids, asked, temperature=temperature)
        logprobs, values, entropy = [], [], []
        for row, here in zip(ids, asked, strict=True):
            text = row[: int(here.nonzero().max()) + 1][None]
            out = lm.model(input_ids=text, output_hidden_states=True)
            table = (out.logits[0] / temperature).log_softmax(-1)
            for t in here.nonzero()[:, 0]:
                logprobs.append(table[t - 1, row[t]])
                values.append(out.hidden_states[-1][0, t - 1] @ head.weight[0] + head.bias[0])
                entropy.append(-(table[t - 1].exp() @ table[t - 1]))
    for got, expected in zip(seen, (logprobs, values, entropy), strict=True):
        assert got.shape == (int(asked.sum()),)
        assert torch.allclose(got, torch.stack(expected), rtol=0, atol=2e-5)
    assert seen.values.std() > 0.01
    assert not lm.model.get_output_embeddings()._forward_pre_hooks, "the hook is gone"


def test_values_reach_the_policy_only_where_they_share_it(question, untrained):
    lm, (ids, asked) = model_of("llama", untrained.tokenizer), question
    head = random_head(lm)
    look(lm, head, ids, asked, shared=False).values.sum().backward()
    assert head.weight.grad.any() and all(p.grad is None for p in lm.model.parameters())
    look(lm, head, ids, asked, shared=True).values.sum().backward()
    grads = {n: p.grad for n, p in lm.model.named_parameters() if p.grad is not None}
    assert grads["model.layers.0.mlp.up_proj.weight"].any()
    assert "lm_head.weight" not in grads, "the policy's own last layer says nothing of values"


def test_a_new_head_claims_nothing(question, untrained):
    lm, (ids, asked) = model_of("llama", untrained.tokenizer), question
    assert not look(lm, ValueHead.on(lm), ids, asked).values.any()


def test_a_head_of_another_model_gets_a_sentence(lm):
    head = ValueHead.on(lm)
    assert head.check(lm) is head
    with pytest.raises(UserError, match="size 16, the agent's have 32"):
        ValueHead(16).check(lm)
