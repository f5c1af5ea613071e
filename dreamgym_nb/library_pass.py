"""The forward pass of any model of `transformers`, over the slots of `decoder`."""

from __future__ import annotations

import torch
from transformers import Cache, PreTrainedModel

from dreamgym_nb.decoder import Pass, blind, grown, real_tokens


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

    def keep(self, index: torch.Tensor) -> None:
        """As `Pass.keep`."""
        self.slots.keep(index)

    def __call__(
        self,
        ids: torch.Tensor,
        where: torch.Tensor,
        sizes: torch.Tensor,
        last: bool = False,
        part: slice = slice(None),
    ) -> torch.Tensor:
        """As `Pass`."""
        self.slots.where, self.slots.part = where, part
        self.slots.width = int(where.max()) + 1
        # The library scores whole columns.
        columns = torch.arange(ids.shape[1], device=ids.device)
        if last:
            columns, place = torch.unique(sizes - 1, return_inverse=True)
        out = self.model(
            input_ids=ids,
            attention_mask=blind(where, self.slots.width, self.model.dtype),
            position_ids=where,
            past_key_values=self.slots,
            use_cache=True,
            logits_to_keep=columns,
        )
        logits = out.logits.float()
        if last:
            return logits[torch.arange(len(ids), device=ids.device), place]
        return logits.flatten(0, 1)[real_tokens(ids, sizes)]
