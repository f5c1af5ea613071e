"""Writing text in batches: one cache for all rows, several tokens for each pass.

Two ideas make it fast, and neither changes what is written.

*Slots.*  The keys and values of token i of a row lie in slot i of that row, and a
token sees the slots up to its own.  Rows may differ in length, padding needs
no mask, and what was written in vain is overwritten by what comes next.

*Drafts.*  Most of what a world answers is copied from its prompt (the state, a
memory), or is written as it was the last time.  So the tokens that followed the
same words before are guessed to follow again, and one pass checks all of them:
each is kept as long as it is what the model itself chooses there (speculative
decoding with prompt lookup).  Greedy texts stay the same; so do sampled ones,
because every place of a text has a random number of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import Cache

if TYPE_CHECKING:
    from dreamgym_nb.language_model import LanguageModel

DRAFT = 3  # tokens guessed for each pass: each costs as much as a real one
NGRAM = 4  # how many of the last tokens a guess looks at, at most
ENOUGH = 2  # with fewer alike, habit is the better guess


@dataclass(frozen=True)
class Generation:
    """What was written for one row.

    Attributes:
        tokens: sampled token ids; the last is EOS unless the limit was hit.
        logprobs: log π(token | what came before) of each, same length, under
            the sampling temperature (temperature 1 for greedy).
    """

    tokens: list[int]
    logprobs: list[float]


class Slots(Cache):
    """A key-value cache in which every row has its own length.

    `where` says, before each pass, into which slots its tokens go.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.keys: list[torch.Tensor] = []  # for each layer (rows, heads, capacity, size)
        self.values: list[torch.Tensor] = []
        self.where = torch.zeros(0, 0, dtype=torch.long)  # (rows, tokens of this pass)
        self.width = 0  # slots that this pass can see

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
            self.keys.append(key_states[:, :, :0])
            self.values.append(value_states[:, :, :0])
        every = torch.arange(len(key_states), device=key_states.device)[:, None]
        for held, new in ((self.keys, key_states), (self.values, value_states)):
            slots = held[layer_idx]
            if slots.shape[2] < self.width:
                slots = held[layer_idx] = _grown(slots, self.width)
            slots[every, :, self.where] = new.transpose(1, 2)
        return (
            self.keys[layer_idx][:, :, : self.width],
            self.values[layer_idx][:, :, : self.width],
        )

    def keep(self, index: torch.Tensor) -> None:
        """Go on with the rows of `index`, (new rows,), in this order."""
        for held in (self.keys, self.values):
            held[:] = [slots[index] for slots in held]

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


class Habits:
    """What followed each pair of tokens the last time, in any text.

    A table of fixed size: pairs that share a place forget each other, which
    costs a guess and nothing else.

    Args:
        pad: the guess where nothing is known.
    """

    SIZE = 1 << 16

    def __init__(self, pad: int) -> None:
        self.next = torch.full((self.SIZE,), pad)

    def _place(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        return (before * 40_503 + last) % self.SIZE

    def learn(self, texts: torch.Tensor, ends: torch.Tensor) -> None:
        """Remember texts, (rows, width), of which the first `ends`, (rows,), tokens count."""
        self.next = self.next.to(texts.device)
        real = torch.arange(2, texts.shape[1], device=texts.device) < ends[:, None]
        places = self._place(texts[:, :-2], texts[:, 1:-1])
        self.next[places[real]] = texts[:, 2:][real]

    def guess(self, before: torch.Tensor, last: torch.Tensor, n: int) -> torch.Tensor:
        """The next `n` tokens after a pair, each (rows,); returns (rows, n)."""
        self.next = self.next.to(last.device)
        guesses = torch.zeros(len(last), n, dtype=torch.long, device=last.device)
        for i in range(n):
            before, last = last, self.next[self._place(before, last)]
            guesses[:, i] = last
        return guesses


def _grown(slots: torch.Tensor, width: int) -> torch.Tensor:
    """A copy with room for `width` slots and some more, so that growing stays rare."""
    rows, heads, used, size = slots.shape
    grown = slots.new_zeros(rows, heads, max(width, used + used // 4) + 32, size)
    grown[:, :, :used] = slots
    return grown


class Session:
    """A batch of texts that grow together over one key-value cache.

    Rows take turns: `read` adds given tokens to each row, `write` lets the
    model continue each row until EOS.

    Args:
        lm: the language model; its layers must all be attention layers.
        rows: size of the batch.
        draft: tokens guessed for each pass, 0 writes one token at a time; as many as
            the language model says when omitted.
    """

    def __init__(self, lm: LanguageModel, rows: int, draft: int | None = None) -> None:
        self.lm, self.draft = lm, lm.draft if draft is None else draft
        self.cache = Slots()
        self.texts = torch.full((rows, 0), lm.pad, device=lm.device)  # what stands in which slot
        self.lengths = torch.zeros(rows, dtype=torch.long, device=lm.device)  # slots filled
        self.logits: torch.Tensor | None = None  # of what comes next, between read and write

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; a row may be there several times."""
        if list(rows) == list(range(len(self.lengths))):
            return
        index = torch.tensor(list(rows), device=self.lengths.device)
        self.cache.keep(index)
        self.texts, self.lengths = self.texts[index], self.lengths[index]
        if self.logits is not None:
            self.logits = self.logits[index]

    @torch.inference_mode()
    def read(self, chunks: Sequence[Sequence[int]]) -> None:
        """Add the tokens of `chunks`, one non-empty list for each row.

        Rows that begin alike, as those of a group do, are computed once.
        """
        if self.cache.keys:  # the token written last is in the text but not yet in the cache
            last = self.texts.gather(1, self.lengths[:, None]).tolist()
            self._append([one + list(chunk) for one, chunk in zip(last, chunks, strict=True)])
            return
        place = {chunk: i for i, chunk in enumerate(dict.fromkeys(map(tuple, chunks)))}
        self.keep(range(len(place)))
        self._append([list(chunk) for chunk in place])
        self.keep([place[tuple(chunk)] for chunk in chunks])

    def _append(self, chunks: list[list[int]]) -> None:
        width = max(len(c) for c in chunks)
        ids = torch.tensor([c + [self.lm.pad] * (width - len(c)) for c in chunks])
        sizes = torch.tensor([len(c) for c in chunks], device=self.lengths.device)
        columns, place = torch.unique(sizes - 1, return_inverse=True)
        logits = self._forward(ids.to(self.lengths.device), columns)
        self.logits = logits[torch.arange(len(chunks), device=logits.device), place]
        self.lengths = self.lengths + sizes

    def _forward(self, ids: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """One pass over `ids`, (rows, q), that follow each row; scores at some columns."""
        cache, q = self.cache, ids.shape[1]
        cache.where = self.lengths[:, None] + torch.arange(q, device=ids.device)
        cache.width = int(cache.where.max()) + 1
        self._note(cache.where, ids)
        mask = None
        if cache.width > q:  # else all rows begin, and the mask is the usual one
            dtype = self.lm.model.dtype
            seen = torch.arange(cache.width, device=ids.device) <= cache.where[:, None, :, None]
            mask = torch.zeros(seen.shape, dtype=dtype, device=ids.device)
            mask.masked_fill_(~seen, torch.finfo(dtype).min)
        self.lm.passes += 1
        out = self.lm.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=cache.where,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=columns,
        )
        return out.logits.float()

    def _note(self, where: torch.Tensor, ids: torch.Tensor) -> None:
        """Write tokens into the texts, which grow as they must."""
        missing = int(where.max()) + 2 - self.texts.shape[1]
        if missing > 0:
            room = self.texts.new_full((len(self.texts), missing + 32), self.lm.pad)
            self.texts = torch.cat([self.texts, room], dim=1)
        self.texts.scatter_(1, where, ids)

    def _guess(self) -> torch.Tensor:
        """What followed the same last tokens before, (rows, draft).

        The place of the row where most of the last `NGRAM` tokens agree wins, of
        equally good ones the latest; habit, where fewer than `ENOUGH` agree.
        """
        texts, ends = self.texts, self.lengths[:, None]  # the last token stands in slot `ends`
        slots = torch.arange(texts.shape[1], device=texts.device)
        agree = slots < ends
        score = torch.zeros_like(texts)
        for back in range(NGRAM):
            token = texts.gather(1, (ends - back).clamp(min=0))
            agree = agree & (texts.roll(back, dims=1) == token) & (slots >= back)
            score += agree
        best = (score * texts.shape[1] + slots).argmax(dim=1, keepdim=True)
        follow = best + 1 + torch.arange(self.draft, device=texts.device)
        lookup = texts.gather(1, follow.clamp(max=texts.shape[1] - 1))
        before, last = texts.gather(1, torch.cat([(ends - 1).clamp(min=0), ends], dim=1)).T
        habit = self.lm.habits.guess(before, last, self.draft)
        known = (follow <= ends) & (score.gather(1, best) >= ENOUGH)
        return torch.where(known, lookup, habit)

    @torch.inference_mode()
    def write(
        self,
        max_new_tokens: int,
        temperature: float | Sequence[float] = 1.0,
        generator: torch.Generator | None = None,
        last: bool = False,
    ) -> list[Generation]:
        """Let the model continue every row until EOS or `max_new_tokens`.

        Args:
            max_new_tokens: limit on the tokens of one row.
            temperature: 0 for greedy, otherwise sampling from softmax(logits/T);
                one for all rows, or one for each.
            generator: source of randomness for sampling.
            last: the session ends here, so rows that are done may be dropped
                from the cache on the way (it cannot be read into afterwards).

        Returns:
            Tokens and log-probabilities, one `Generation` for each row.
        """
        device, n = self.lengths.device, len(self.lengths)
        heat = torch.as_tensor(temperature, dtype=torch.float32, device=device).expand(n)
        tokens = torch.zeros(n, max_new_tokens + self.draft + 1, dtype=torch.long, device=device)
        logprobs = torch.zeros(tokens.shape, device=device)
        written = torch.zeros(n, dtype=torch.long, device=device)
        rows = torch.arange(n, device=device)  # which text each row of the cache belongs to
        columns = torch.arange(1 + self.draft, device=device)
        luck = torch.rand(n, max_new_tokens, device=device, generator=generator)
        choice, lp = _choose(self.logits[:, None], heat, luck[:, :1])
        tokens[:, :1], logprobs[:, :1], written[:] = choice, lp, 1
        self.logits = None
        self._note(self.lengths[:, None], choice)
        live = choice[:, 0] != self.lm.eos
        while bool((live := live & (written[rows] < max_new_tokens)).any()):
            if last and live.sum() < 0.75 * len(rows):  # copying the cache costs: not each time
                self.keep(live.nonzero()[:, 0].tolist())
                rows, live = rows[live], live[live]
            newest = self.texts.gather(1, self.lengths[:, None])
            guess = self._guess()
            logits = self._forward(torch.cat([newest, guess], dim=1), columns)
            at = written[rows, None] + columns
            choice, lp = _choose(
                logits, heat[rows], luck[rows[:, None], at.clamp(max=max_new_tokens - 1)]
            )
            # A choice counts if all guesses before it were what the model chose there.
            right = (choice[:, :-1] == guess).long().cumprod(dim=1)
            ended = (choice == self.lm.eos).long().cumsum(dim=1)[:, :-1] == 0
            gained = 1 + (right * ended).sum(dim=1)
            gained = gained.minimum(max_new_tokens - written[rows]) * live
            tokens[rows[:, None], at] = choice
            logprobs[rows[:, None], at] = lp
            self._note(self.lengths[:, None] + 1 + columns, choice)
            written[rows] += gained
            self.lengths = self.lengths + gained
            final = choice.gather(1, (gained - 1).clamp(min=0)[:, None])[:, 0]
            live = live & (final != self.lm.eos)
        self.lm.habits.learn(tokens, written)
        return [
            Generation(t[:k], p[:k])
            for t, p, k in zip(tokens.tolist(), logprobs.tolist(), written.tolist(), strict=True)
        ]


def _choose(
    logits: torch.Tensor, heat: torch.Tensor, luck: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token for each place and its log-probability, both (rows, places).

    Args:
        logits: (rows, places, vocabulary).
        heat: temperature of each row; 0 takes the likeliest.
        luck: for each place a number in [0, 1): where in the cumulated
            probabilities the token lies that is drawn, (rows, places).
    """
    scale = torch.where(heat > 0, heat, 1.0)[:, None, None]
    scores = torch.log_softmax(logits / scale, dim=-1)
    choice = scores.argmax(dim=-1)
    hot = (heat > 0).nonzero()[:, 0]
    if len(hot):
        cumulated = scores[hot].exp().cumsum(dim=-1)
        point = luck[hot][..., None] * cumulated[..., -1:]
        drawn = torch.searchsorted(cumulated, point, right=True)[..., 0]
        choice[hot] = drawn.clamp(max=logits.shape[-1] - 1)
    return choice, scores.gather(-1, choice[..., None])[..., 0]
