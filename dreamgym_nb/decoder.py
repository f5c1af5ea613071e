"""The forward pass of a language model while it reads and writes, over slots.

Keys and values lie in *slots*: those of token i of a row in slot i of that row.  A
token sees the slots up to its own, so rows may differ in length, padding needs no
bookkeeping, and what was written in vain is overwritten by what comes next.

`transformers` walks through dozens of modules for each pass; with a small model
and few rows that walk takes longer than the arithmetic.  So a Llama-style model's
pass is written out here (`Decoder`).  A block is

    x ← x + W_o attention(q, k, v)        q, k, v = W_qkv norm(x), q and k turned by place
    x ← x + W_down (silu(g) · u)          g, u = W_gate,up norm(x)

All other models go through `transformers` (`LibraryPass`), as does all training.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch.nn import functional as F
from transformers import Cache, LlamaForCausalLM, PreTrainedModel

from dreamgym_nb.scripted import scripted

SPARE = 64  # slots beyond those that are needed: most answers fit


class Pass(Protocol):
    """One batch of texts that grow, pass by pass."""

    def __call__(
        self,
        ids: torch.Tensor,
        where: torch.Tensor,
        columns: torch.Tensor,
        part: slice = slice(None),
    ) -> torch.Tensor:
        """Read tokens; returns the scores of what follows some of them.

        Args:
            ids: (rows, q).
            where: the slot that each goes to, (rows, q).
            columns: which of the q tokens are scored, (n,).
            part: the rows of the batch that these are.

        Returns:
            Logits, (rows, n, vocabulary), in float32.
        """

    def reserve(self, width: int) -> None:
        """Make room for texts of `width` tokens and an answer, so that growing stays rare."""

    def take(self, index: torch.Tensor) -> Pass:
        """A copy of the rows of `index`, (new rows,), in this order."""

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
    if width == where.shape[1]:
        return None
    seen = torch.arange(width, device=where.device) <= where[:, None, :, None]
    mask = torch.zeros(seen.shape, dtype=dtype, device=where.device)
    return mask.masked_fill_(~seen, -math.inf)  # every token sees itself at least


# ---- written out -------------------------------------------------------------------------


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

    def take(self, index: torch.Tensor) -> Pass:
        return _WrittenOut(self.decoder, [slots[:, index] for slots in self.held], len(index))

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
        columns: torch.Tensor,
        part: slice = slice(None),
    ) -> torch.Tensor:
        d, width = self.decoder, int(where.max()) + 1
        self.reserve(width)
        first, last, _ = part.indices(self.rows)
        x = d.embed[ids.flatten()]
        x = _blocks(x, d.weights, self.held, where, first, last, width, d.speed, d.heads, d.eps)
        return _norm(x.unflatten(0, ids.shape)[:, columns], d.eps) @ d.head


def _norm(x: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square normalisation, ``x / √(mean x² + ε)`` over the last dimension."""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)


@scripted
def _blocks(
    x: torch.Tensor,
    weights: list[list[torch.Tensor]],
    held: list[torch.Tensor],
    where: torch.Tensor,
    first: int,
    last: int,
    width: int,
    speed: torch.Tensor,
    heads: int,
    eps: float,
) -> torch.Tensor:
    """All blocks of a pass, see the module.

    Args:
        x: what goes in, (rows · q, width of the model).
        weights: of each block, as in `_weights`.
        held: of each block the slots, (2, all rows, groups, capacity, size); written to.
        where: the slot of each token, (rows, q).
        first: of the rows of the batch that these are.
        last: the row after them.
        width: slots that can be seen.
        speed: angle that each pair of a head is turned by from place to place, (size / 2,).
        heads: of the queries.
        eps: of the norms.

    Returns:
        What comes out, shaped as `x`.
    """
    rows, q = where.shape
    _, all_rows, groups, capacity, size = held[0].shape
    # Where, in all slots of a block one after the other, each key and value goes.
    lanes = torch.arange(2 * all_rows * groups, device=x.device)
    lanes = lanes.view(2, all_rows, 1, groups)[:, first:last]
    places = (lanes * capacity + where[None, :, :, None]).permute(1, 2, 0, 3).flatten()
    angles = where.flatten()[:, None, None] * speed
    turn = torch.polar(torch.ones_like(angles), angles)
    mask = blind(where, width, x.dtype)
    for (w_qkv, w_out, w_gate_up, w_down), slots in zip(weights, held):  # noqa: B905
        qkv = (_norm(x, eps) @ w_qkv).view(len(x), -1, size)
        pairs = qkv.view(len(x), -1, size // 2, 2)[:, : heads + groups]
        torch.view_as_complex(pairs).mul_(turn)
        slots.view(-1, size).index_copy_(0, places, qkv[:, heads:].reshape(-1, size))
        keys, values = slots[:, first:last, :, :width].unbind(0)
        seen = F.scaled_dot_product_attention(
            qkv[:, :heads].view(rows, q, heads, size).transpose(1, 2),
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            enable_gqa=groups != heads,
        )
        x = torch.addmm(x, seen.transpose(1, 2).reshape(len(x), -1), w_out)
        gate, up = (_norm(x, eps) @ w_gate_up).chunk(2, dim=-1)
        x = torch.addmm(x, F.silu(gate).mul_(up), w_down)
    return x


# ---- through the library -----------------------------------------------------------------


class _Slots(Cache):
    """The slots in the form that `transformers` asks for.

    Before each pass, `where` says into which slots its tokens go, and `part` in
    which rows.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self.keys: list[torch.Tensor] = []  # for each layer (rows, heads, capacity, size)
        self.values: list[torch.Tensor] = []
        self.where = torch.zeros(0, 0, dtype=torch.long)  # (rows, tokens of this pass)
        self.part, self.width = slice(None), 0  # rows, and slots that this pass can see

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_, **__
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the new keys and values into their slots; returns all that may be seen.

        Args:
            key_states: (rows, heads, tokens of this pass, size).
            value_states: the same shape.
            layer_idx: of the layer that asks.

        Returns:
            Keys and values, both (rows, heads, width, size).
        """
        if layer_idx == len(self.keys):
            _, heads, _, size = key_states.shape
            self.keys.append(key_states.new_zeros(self.rows, heads, 0, size))
            self.values.append(key_states.new_zeros(self.rows, heads, 0, size))
        every = torch.arange(self.rows, device=key_states.device)[self.part, None]
        for held, new in ((self.keys, key_states), (self.values, value_states)):
            if held[layer_idx].shape[2] < self.width:
                held[layer_idx] = grown(held[layer_idx], self.width, 2)
            held[layer_idx][every, :, self.where] = new.transpose(1, 2)
        return (
            self.keys[layer_idx][self.part, :, : self.width],
            self.values[layer_idx][self.part, :, : self.width],
        )

    def take(self, index: torch.Tensor) -> _Slots:
        """A copy of the rows of `index`."""
        taken = _Slots(len(index))
        taken.keys = [slots[index] for slots in self.keys]
        taken.values = [slots[index] for slots in self.values]
        return taken

    def keep(self, index: torch.Tensor) -> None:
        """Go on with the rows of `index` only."""
        self.rows = len(index)
        for held in (self.keys, self.values):
            for layer, slots in enumerate(held):
                held[layer] = slots[index]

    # Asked by transformers where no mask is given: the first pass, on an empty cache.

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before this pass; only asked where there are none."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Place of the first token of this pass; only asked where it is 0."""
        return 0

    def get_mask_sizes(self, *_, **__) -> tuple[int, int]:
        """Slots to be seen, and the first of them."""
        return self.width, 0


class LibraryPass:
    """Passes of any model of `transformers` over one batch; see `Pass`.

    Args:
        model: its layers must all be attention layers.
        slots: keys and values so far.
    """

    def __init__(self, model: PreTrainedModel, slots: _Slots) -> None:
        self.model, self.slots = model, slots

    @classmethod
    def begin(cls, model: PreTrainedModel, rows: int) -> Pass:
        """A batch of so many texts, empty yet."""
        return cls(model, _Slots(rows))

    def reserve(self, width: int) -> None:
        """As `Pass.reserve`; the library's slots grow when a pass needs them."""

    def take(self, index: torch.Tensor) -> Pass:
        """As `Pass.take`."""
        return LibraryPass(self.model, self.slots.take(index))

    def keep(self, index: torch.Tensor) -> None:
        """As `Pass.keep`."""
        self.slots.keep(index)

    def __call__(
        self,
        ids: torch.Tensor,
        where: torch.Tensor,
        columns: torch.Tensor,
        part: slice = slice(None),
    ) -> torch.Tensor:
        """As `Pass`."""
        self.slots.where, self.slots.part = where, part
        self.slots.width = int(where.max()) + 1
        out = self.model(
            input_ids=ids,
            attention_mask=blind(where, self.slots.width, self.model.dtype),
            position_ids=where,
            past_key_values=self.slots,
            use_cache=True,
            logits_to_keep=columns,
        )
        return out.logits.float()
