"""The forward pass of a language model while it reads and writes, over slots.

Keys and values lie in *slots*: those of token i of a row in slot i of that row.  A
token sees the slots up to its own, so rows may differ in length, and what was written
in vain is overwritten by what comes next.

`transformers` walks through dozens of modules for each pass; with a small model
and few rows that walk takes longer than the arithmetic.  So a Llama-style model's
pass is written out here (`Decoder`).  A block is

    x ← x + W_o attention(q, k, v)        q, k, v = W_qkv norm(x), q and k turned by place
    x ← x + W_down (silu(g) · u)          g, u = W_gate,up norm(x)

Padding stands in no product there: only attention sees rows, everything else works on
real tokens one below the other.  And where only the last token of each row is scored,
as after a prompt, the last block is computed for that token alone.

All other models go through `transformers` (`library_pass`), as does all training.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch.nn import functional as F
from transformers import LlamaForCausalLM, PreTrainedModel

from dreamgym_nb.scripted import scripted

SPARE = 64  # slots beyond those that are needed: most answers fit


class Pass(Protocol):
    """One batch of texts that grow, pass by pass."""

    def __call__(
        self,
        ids: torch.Tensor,
        where: torch.Tensor,
        sizes: torch.Tensor,
        last: bool = False,
        part: slice = slice(None),
    ) -> torch.Tensor:
        """Read tokens; returns the scores of what follows them.

        Args:
            ids: (rows, q), padded on the right.
            where: the slot that each goes to, (rows, q).
            sizes: how many of each row's tokens are real, (rows,).
            last: score the last real token of each row only; no row may be empty then.
            part: the rows of the batch that these are.

        Returns:
            Logits in float32, (rows, vocabulary) of the last tokens, or (real tokens,
            vocabulary), row by row.
        """

    def reserve(self, width: int) -> None:
        """Make room for texts of `width` tokens and an answer, so that growing stays rare."""

    def keep(self, index: torch.Tensor) -> None:
        """Go on with the rows of `index`, (new rows,), in this order; cheapest where most stay."""


def grown(slots: torch.Tensor, width: int, dim: int) -> torch.Tensor:
    """A copy with room for `width` slots and some more, so that growing stays rare."""
    used, shape = slots.shape[dim], list(slots.shape)
    shape[dim] = max(width, used + used // 4) + SPARE
    room = slots.new_zeros(shape)
    room.narrow(dim, 0, used).copy_(slots)
    return room


def blind(where: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor | None:
    """What is added to attention's scores: −∞ where a slot lies after the token's own.

    Args:
        where: slot of each token, (rows, q).
        width: slots that may be seen.
        dtype: of the scores.

    Returns:
        (rows, 1, q, width); None where all rows begin, and the mask is the usual one.
    """
    if width == where.shape[1] and not bool(where[:, 0].any()):
        return None
    seen = torch.arange(width, device=where.device) <= where[:, None, :, None]
    mask = torch.zeros(seen.shape, dtype=dtype, device=where.device)
    return mask.masked_fill_(~seen, -math.inf)  # every token sees itself at least


def real_tokens(ids: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Where in ``ids.flatten()`` no padding stands, (real tokens,).

    Args:
        ids: (rows, q), padded on the right.
        sizes: how many of each row's tokens are real, (rows,).
    """
    columns = torch.arange(ids.shape[1], device=ids.device)
    return (columns < sizes[:, None]).flatten().nonzero()[:, 0]


def can_be_written_out(model: PreTrainedModel) -> bool:
    """Whether `Decoder` knows all that this model does."""
    return (
        type(model) is LlamaForCausalLM
        and model.dtype == torch.float32
        and model.config.rope_parameters["rope_type"] == "default"
        and model.config.hidden_act == "silu"
        and not (model.config.attention_bias or model.config.mlp_bias)
    )


def _weights(layer: torch.nn.Module, pairs: torch.Tensor) -> list[torch.Tensor]:
    """The weights of one block: W_qkv, W_o, W_gate,up, W_down, transposed.

    Those that read the same input lie side by side.  A norm multiplies its output by
    a weight for each column: the matrices that read it take that in.

    Args:
        layer: of the model.
        pairs: the order in which the two numbers that are turned together lie
            side by side, (size of a head,).
    """
    attention, mlp = layer.self_attn, layer.mlp
    turned = [
        p.weight.unflatten(0, (-1, len(pairs)))[:, pairs].flatten(0, 1)
        for p in (attention.q_proj, attention.k_proj)
    ]
    qkv = torch.cat([*turned, attention.v_proj.weight]) * layer.input_layernorm.weight
    gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
    gate_up = gate_up * layer.post_attention_layernorm.weight
    return [w.T.contiguous() for w in (qkv, attention.o_proj.weight, gate_up, mlp.down_proj.weight)]


class Decoder:
    """A Llama-style model's weights, laid out for reading and writing.

    Args:
        model: one that `can_be_written_out`; its weights are copied.
    """

    @torch.no_grad()
    def __init__(self, model: LlamaForCausalLM) -> None:
        config, inner = model.config, model.model
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = inner.layers[0].self_attn.head_dim
        self.eps = config.rms_norm_eps
        self.embed = inner.embed_tokens.weight.detach().clone()
        half = torch.arange(self.size // 2, device=self.embed.device)
        pairs = torch.stack([half, half + self.size // 2], dim=1).flatten()
        self.weights = [_weights(layer, pairs) for layer in inner.layers]
        self.head = (model.lm_head.weight * inner.norm.weight).T.contiguous()
        self.speed = inner.rotary_emb.inv_freq.float()

    def begin(self, rows: int) -> Pass:
        """A batch of so many texts, empty yet."""
        empty = self.embed.new_zeros(2, rows, self.groups, 0, self.size)
        return _WrittenOut(self, [empty] * len(self.weights), rows)


class _WrittenOut:
    """Passes of a `Decoder` over one batch; see `Pass`."""

    def __init__(self, decoder: Decoder, held: list[torch.Tensor], rows: int) -> None:
        self.decoder, self.rows = decoder, rows
        self.held = held  # by layer: (2, rows and places for more, groups, capacity, size)

    def keep(self, index: torch.Tensor) -> None:
        # A new block costs more than the rows copied into it: they move within the old one.
        places = torch.arange(len(index), device=index.device)
        moved = places[index != places]
        for i, slots in enumerate(self.held):
            if len(index) <= slots.shape[1]:
                slots[:, moved] = slots[:, index[moved]]
            else:
                self.held[i] = slots[:, index]
        self.rows = len(index)

    def reserve(self, width: int) -> None:
        for i, slots in enumerate(self.held):  # one by one: the old ones go as the new ones come
            if slots.shape[3] < width:
                self.held[i] = grown(slots[:, : self.rows], width, 3)

    def __call__(
        self,
        ids: torch.Tensor,
        where: torch.Tensor,
        sizes: torch.Tensor,
        last: bool = False,
        part: slice = slice(None),
    ) -> torch.Tensor:
        d, real = self.decoder, real_tokens(ids, sizes)
        width = int(where.flatten()[real].max()) + 1
        self.reserve(width)
        begin, end, _ = part.indices(self.rows)
        ends = sizes.cumsum(0) - 1 if last else None
        x = _blocks(
            d.embed[ids.flatten()[real]],
            d.weights,
            self.held,
            where,
            real,
            ends,
            begin,
            end,
            width,
            d.speed,
            d.heads,
            d.eps,
        )
        return _norm(x, d.eps) @ d.head


def _norm(x: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square normalisation, ``x / √(mean x² + ε)`` over the last dimension."""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)


@scripted
def _blocks(
    x: torch.Tensor,
    weights: list[list[torch.Tensor]],
    held: list[torch.Tensor],
    where: torch.Tensor,
    real: torch.Tensor,
    ends: torch.Tensor | None,
    begin: int,
    end: int,
    width: int,
    speed: torch.Tensor,
    heads: int,
    eps: float,
) -> torch.Tensor:
    """All blocks of a pass, see the module.

    Args:
        x: what goes in, (real tokens, width of the model).
        weights: of each block, as in `_weights`.
        held: of each block the slots, (2, all rows, groups, capacity, size); written to.
        where: the slot of each token, (rows, q).
        real: places of the real ones in it, see `real_tokens`.
        ends: the last real token of each row, (rows,), if these alone are wanted.
        begin: of the rows of the batch that these are.
        end: the row after them.
        width: slots that can be seen.
        speed: angle that each pair of a head is turned by from place to place, (size / 2,).
        heads: of the queries.
        eps: of the norms.

    Returns:
        What comes out, (real tokens or rows, width of the model).
    """
    rows, q = where.shape
    _, all_rows, groups, capacity, size = held[0].shape
    slot, row = where.flatten()[real], real // q
    # Where, in all slots of a block one after the other, each key and value goes.
    lanes = torch.arange(2 * all_rows * groups, device=x.device)
    lanes = lanes.view(2, all_rows, groups)[:, begin:end][:, row]
    places = (lanes * capacity + slot[None, :, None]).transpose(0, 1).flatten()
    angles = slot[:, None, None] * speed
    turn = torch.polar(torch.ones_like(angles), angles)
    mask = blind(where, width, x.dtype)
    for i, (w_qkv, w_out, w_gate_up, w_down) in enumerate(weights):
        qkv = (_norm(x, eps) @ w_qkv).view(len(x), -1, size)
        pairs = qkv.view(len(x), -1, size // 2, 2)[:, : heads + groups]
        torch.view_as_complex(pairs).mul_(turn)
        held[i].view(-1, size).index_copy_(0, places, qkv[:, heads:].reshape(-1, size))
        queries = qkv[:, :heads].flatten(1)
        if ends is not None and i == len(weights) - 1:  # nobody reads what the others say
            x, queries, q = x[ends], queries[ends], 1
            mask = blind(slot[ends][:, None], width, x.dtype)
            real = torch.arange(rows, device=x.device)
        padded = len(real) < rows * q
        if padded:
            empty = queries.new_zeros(rows * q, heads * size)
            queries = empty.index_copy_(0, real, queries)
        seen = F.scaled_dot_product_attention(
            queries.view(rows, q, heads, size).transpose(1, 2),
            held[i][0, begin:end, :, :width],
            held[i][1, begin:end, :, :width],
            attn_mask=mask,
            is_causal=mask is None,
            enable_gqa=groups != heads,
        )
        seen = seen.transpose(1, 2).reshape(rows * q, -1)
        x = torch.addmm(x, seen[real] if padded else seen, w_out)
        gate, up = (_norm(x, eps) @ w_gate_up).chunk(2, dim=-1)
        x = torch.addmm(x, F.silu(gate).mul_(up), w_down)
    return x
