"""Lesson 11: how much memory a language model needs, asked and trained; an exercise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .exercises import Exercise, Wrong


def memory(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    """The reference: weights, what training keeps beside them, and the cache, in bytes."""
    weights = model["weights"] * model["bytes"]
    kept = 3 * weights if trained else 0.0  # a gradient, and Adam's two moments
    each = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * model["bytes"]
    return weights + kept + tokens * each


def _no_moments(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    weights = model["weights"] * model["bytes"]
    return memory(model, tokens, False) + (weights if trained else 0.0)


def _one_moment(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    weights = model["weights"] * model["bytes"]
    return memory(model, tokens, False) + (2 * weights if trained else 0.0)


def _keys_only(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    bare = memory(model, 0, trained)
    return bare + (memory(model, tokens, trained) - bare) / 2


def _no_cache(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    return memory(model, 0, trained)


def _all_heads(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    return memory({**model, "kv_heads": model["heads"]}, tokens, trained)


def _numbers_not_bytes(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    return memory({**model, "bytes": 1}, tokens, trained)


def _cache_in_numbers(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    bare = memory(model, 0, trained)
    return bare + (memory(model, tokens, trained) - bare) / model["bytes"]


def _all_times_four(model: Mapping[str, float], tokens: int, trained: bool) -> float:
    return memory(model, tokens, False) * (4 if trained else 1)


_SMALL = {"weights": 1000, "bytes": 4, "layers": 2, "heads": 2, "kv_heads": 2, "head_width": 8}
_SHARED = {**_SMALL, "heads": 8, "kv_heads": 2, "bytes": 2}

MEMORY = Exercise(
    name="memory",
    title="will it fit?",
    solution=memory,
    cases=lambda: [
        (dict(_SMALL), 0, False),
        (dict(_SMALL), 1, False),
        (dict(_SMALL), 0, True),
        (dict(_SHARED), 10, False),
        (dict(_SHARED), 10, True),
    ],
    wrong=(
        Wrong(
            "no room for Adam",
            _no_moments,
            "A gradient is not all that training keeps: Adam has two numbers for every weight, "
            "the running means of its gradient and of the gradient's square. 3 Nb more, 4 in all.",
        ),
        Wrong(
            "one moment",
            _one_moment,
            "Beside the weights stand three more numbers for each: a gradient and Adam's two "
            "running means. So 4 Nb in all, not 3.",
        ),
        Wrong(
            "keys without values",
            _keys_only,
            "Attention keeps a key and a value for every token, layer and head: two vectors.",
        ),
        Wrong(
            "no cache",
            _no_cache,
            "While it writes, a model keeps keys and values of all tokens so far. With many "
            "episodes at once that may be more than the weights.",
        ),
        Wrong(
            "all heads",
            _all_heads,
            "In many models several heads share their keys and values: kv_heads is how many "
            "are kept.",
        ),
        Wrong(
            "cache in numbers",
            _cache_in_numbers,
            "The vectors of the cache are numbers, too: each takes model['bytes'] bytes.",
        ),
        Wrong(
            "four times everything",
            _all_times_four,
            "Training keeps more for each *weight*. The cache is the same.",
        ),
        Wrong(
            "numbers, not bytes",
            _numbers_not_bytes,
            "Each number takes model['bytes'] bytes: 4 in float32, 2 in bfloat16.",
        ),
    ),
)


def shape_of(lm: Any) -> dict[str, int]:
    """What `memory` asks of a language model, read off its configuration."""
    c = lm.model.config
    heads = c.num_attention_heads
    return {
        "weights": lm.parameters,
        "bytes": next(lm.model.parameters()).element_size(),
        "layers": c.num_hidden_layers,
        "heads": heads,
        "kv_heads": getattr(c, "num_key_value_heads", None) or heads,
        "head_width": getattr(c, "head_dim", None) or c.hidden_size // heads,
    }
