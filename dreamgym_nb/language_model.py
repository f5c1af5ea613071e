"""The language model behind agent and experience model: tokens, batches, a KV cache.

Any causal language model of `transformers` fits.  The course's own is tiny: a
Llama-style model of about a million parameters with a word-level tokenizer
that falls back to bytes, so that no text is ever unknown to it.

How it writes is in `generation`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from dreamgym_nb.decoder import Decoder, Pass, can_be_written_out
from dreamgym_nb.drafts import DRAFT, Habits
from dreamgym_nb.errors import UserError
from dreamgym_nb.generation import Generation
from dreamgym_nb.heap import set_large_blocks_apart
from dreamgym_nb.library_pass import LibraryPass
from dreamgym_nb.prompts import EOS, PHRASES
from dreamgym_nb.team import Team
from dreamgym_nb.writer import Written

PAD = "<pad>"
SPACE = "▁"  # how a space is written inside a token, as in SentencePiece
REMEMBERED = 50_000  # texts whose token ids are kept
# Brackets and line ends get spaces before tokens are cut and lose them after, so
# that `b12` in a page and in `click[b12]` is the same token.
_SPACED = (("[", "[ "), ("]", " ]"), ("\n", " \n "), (EOS, f" {EOS}"))
_WORD = re.compile(r" ?(?:search\[|click\[|\$?[a-zA-Z0-9]+|\n|[^\sa-zA-Z0-9])")


def build_tokenizer(
    texts: Iterable[str], min_count: int = 2, phrases: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the words of `texts`, with bytes for all else.

    Args:
        texts: what the models will read and write.
        min_count: rarer words are left to the bytes.
        phrases: words that always go together in these texts, as one token each.
    """
    words: Counter[str] = Counter()
    for text in texts:
        for old, new in _SPACED:
            text = text.replace(old, new)
        words.update(_WORD.findall(f" {text}"))
    pieces = {w.replace(" ", SPACE) for w, n in words.items() if n >= min_count}
    pieces |= {SPACE + p.replace(" ", SPACE) for p in (*PHRASES, *phrases)}
    special = [PAD, EOS]
    byte_pieces = [f"<0x{b:02X}>" for b in range(256)]
    ordered = sorted(pieces - set(special))
    # Every word costs the same, so the cut with the fewest tokens wins; bytes cost most.
    vocab = [(s, 0.0) for s in special] + [(b, -20.0) for b in byte_pieces]
    vocab += [(SPACE, -10.0)] + [(p, -1.0) for p in ordered if p != SPACE]
    core = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Replace(a, b) for a, b in _SPACED[:3]])
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, split=False)
    undo = [decoders.Replace(b, a) for a, b in _SPACED[:3]]
    spaces = decoders.Replace(SPACE, " ")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), spaces, *undo])
    core.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, eos_token=EOS)


class LanguageModel:
    """A causal language model and its tokenizer, used as one thing.

    Args:
        model: any `transformers` causal language model.
        tokenizer: its tokenizer.

    Attributes:
        draft: tokens guessed for each pass while writing, see `drafts`.
        habits: what followed each pair of tokens when it last wrote them.
        passes: of the model, while reading and writing.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        set_large_blocks_apart()
        self.model, self.tokenizer = model, tokenizer
        self.eos = int(tokenizer.eos_token_id)
        pad = tokenizer.pad_token_id
        self.pad = self.eos if pad is None else int(pad)
        self.draft, self.habits, self.passes = DRAFT, Habits(self.pad), 0
        self._encoded: dict[str, list[int]] = {}
        self._decoder: tuple[object, Decoder] | None = None  # and the weights that it was made of
        if self.encode(EOS)[-1:] != [self.eos]:
            raise UserError(
                f"The tokenizer does not read its own end of text, {tokenizer.eos_token!r}, as one "
                "token, so nothing written would ever end: use another model."
            )

    @classmethod
    def tiny(
        cls,
        texts: Iterable[str],
        seed: int = 0,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        context: int = 2048,
        phrases: Sequence[str] = (),
    ) -> LanguageModel:
        """A Llama-style model from scratch with its own tokenizer.

        Args:
            texts: from which the vocabulary is taken.
            seed: of the initial weights.
            width: size of a hidden vector; the MLP is 2.75 times as wide.
            layers: number of transformer blocks.
            heads: attention heads; must divide `width`.
            context: longest text in tokens.
            phrases: see `build_tokenizer`.
        """
        tokenizer = build_tokenizer(texts, phrases=phrases)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=width * 11 // 4,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LlamaForCausalLM(config)
        return cls(model.eval(), tokenizer)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def context(self) -> int | None:
        """The longest text that the model was made for, in tokens; None where it does not say."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def check_length(self, tokens: int, what: str, remedy: str) -> None:
        """Refuse a text that is longer than the model can read.

        Most models would go on without a word and write nonsense.

        Args:
            tokens: its length, what is to be written after it included.
            what: the beginning of the sentence, such as ``"The prompt"``.
            remedy: the end of it: what to do.

        Raises:
            UserError: it is too long.
        """
        if self.context is not None and tokens > self.context:
            raise UserError(
                f"{what} takes {tokens:,} tokens, and this model reads {self.context:,} at most: "
                f"{remedy}"
            )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def copy(self) -> LanguageModel:
        """A second model with the same weights; training one leaves the other."""
        twin = LanguageModel(copy.deepcopy(self.model).eval(), self.tokenizer)
        twin.draft = self.draft
        twin._encoded = self._encoded  # one tokenizer: what one has encoded, the other need not
        return twin

    # ---- text and tokens ---------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special ones added; remembered.

        Texts are cut at line and turn borders only, so that encoding a
        transcript turn by turn gives the same ids as encoding it at once.  `prompts.EOS`
        becomes the model's own end of text.
        """
        ids = self._encoded.get(text)
        if ids is None:
            if len(self._encoded) >= REMEMBERED:
                self._encoded.clear()
            own = text.replace(EOS, self.tokenizer.eos_token)
            ids = self._encoded[text] = self.tokenizer.encode(own, add_special_tokens=False)
        return ids

    def forget(self) -> None:
        """Let go of the remembered encodings: of a log, most are asked for in training only."""
        self._encoded.clear()

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens included; the model's end of text as `EOS`."""
        text = self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        return text.removeprefix(" ").replace(self.tokenizer.eos_token, EOS)

    # ---- on disk -----------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Short hash of the vocabulary: two models agree on tokens iff it is equal."""
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()[:16]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write model and tokenizer into `folder`, which is replaced as a whole."""
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        self.model.config.dreamgym_vocabulary = self.fingerprint
        try:
            self.model.save_pretrained(draft)
            self.tokenizer.save_pretrained(draft)
            draft.chmod(0o755)
        except BaseException:
            shutil.rmtree(draft)
            raise
        if folder.exists():
            old = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            draft.rename(folder)
            shutil.rmtree(old)
        else:
            draft.rename(folder)
        return folder

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> LanguageModel:
        """Load a saved model, or any causal language model of the hub by its name.

        Raises:
            UserError: there is no such model, or the tokenizer in the folder is
                not the one that the weights were trained with.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(name_or_path)
            model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype=torch.float32)
        except (OSError, ValueError, SafetensorError) as e:
            raise UserError(
                f"{name_or_path} is no saved model, nor one of the hub that can be reached now "
                f"({str(e).strip().splitlines()[0]}). Check the name, or save the model again."
            ) from e
        language_model = cls(model.eval(), tokenizer)
        made_with = getattr(model.config, "dreamgym_vocabulary", None)
        if made_with not in (None, language_model.fingerprint):
            raise UserError(
                f"The checkpoint in {name_or_path} was trained with another tokenizer "
                f"(vocabulary {made_with}, found {language_model.fingerprint}). Copy the whole "
                "folder, or train it again."
            )
        return language_model

    @property
    def weights(self) -> list[tuple[int, int]]:
        """What changes whenever a weight does: where each lies, and how often it was written."""
        # An update counts a weight's version up; a move or a load gives it another place.
        return [(p.data_ptr(), p._version) for p in self.model.parameters()]

    # ---- generation --------------------------------------------------------------

    def begin(self, rows: int) -> Pass:
        """A batch of so many texts, empty yet, to read and write with the weights of now."""
        if not can_be_written_out(self.model):
            return LibraryPass.begin(self.model, rows)
        weights = self.weights
        if self._decoder is None or self._decoder[0] != weights:
            self._decoder = (weights, Decoder(self.model))
        return self._decoder[1].begin(rows)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float | Sequence[float] = 0.0,
        batch_size: int = 64,
        generator: torch.Generator | None = None,
    ) -> list[Generation]:
        """Continue each prompt until EOS or the limit.

        Prompts are sorted by length so that batches hold little padding; the
        order of the result is that of the prompts.

        Args:
            prompts: token ids, one list for each row.
            max_new_tokens: limit on the tokens of one row.
            temperature: 0 for greedy, otherwise sampling from softmax(logits/T);
                one for all prompts, or one for each.
            batch_size: rows that are computed together; a small model is no faster with
                more on a CPU, and a batch twice as large holds twice the keys and values.
            generator: source of randomness for sampling.

        Raises:
            UserError: a prompt and what may follow it are longer than the model reads, or a
                temperature is below 0.
        """
        self.check_length(
            max(map(len, prompts), default=0) + max_new_tokens,
            "The longest prompt, with the answer's limit,",
            "show less of it (fewer memories, a shorter state), lower the limit, or take a model "
            "with a longer context.",
        )
        heat = (
            [temperature] * len(prompts) if isinstance(temperature, (int, float)) else temperature
        )
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        written: list[Generation | None] = [None] * len(prompts)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            team = Team(self, len(rows))
            team.read([prompts[i] for i in rows])
            warm = [heat[i] for i in rows]
            done = team.write(max_new_tokens, warm, generator, last=True)
            for i, g in zip(rows, done, strict=True):
                written[i] = g
        return written  # type: ignore[return-value]

    def continue_texts(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        temperatures: Sequence[float],
        generator: torch.Generator | None = None,
    ) -> list[Written]:
        """As `generate`, from text to text; see `writer.Writer`.

        The confidence is under the temperature that a text was sampled with (1 for greedy).
        """
        rows = [self.encode(p) for p in prompts]
        written = self.generate(rows, max_new_tokens, temperatures, generator=generator)
        return [
            Written(self.decode(g.tokens), fmean(g.logprobs) if g.logprobs else None)
            for g in written
        ]
