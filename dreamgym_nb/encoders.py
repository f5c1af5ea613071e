"""φ, the text encoders by which the replay buffer compares (state, action) pairs (Section 2).

Three of them, from none of a language model's knowledge to most of it:

* `TfidfEncoder` weighs words; it is the default, needs nothing and is quick;
* `HiddenStateEncoder` asks the backbone what it makes of the texts;
* `SentenceEncoder` takes any model of the `sentence-transformers` library.

What an action does depends on the action most of all, so each of them encodes
the action apart from the state and weighs the two: the cosine of two pairs is
``w·cos(actions) + (1-w)·cos(states)``, as long as each part has a direction.  Where
tf-idf knows no word of a part, the other part alone decides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from dreamgym_nb.errors import UserError
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import ACTION, STATE

Query = tuple[str, str]  # (state, action)

REMEMBERED = 200_000  # texts whose vectors are kept; 0.5 KB each at 128 dimensions
LONGEST = 512  # tokens of a text that are read, at most
TOKENS_PER_PASS = 4096


class Encoder(Protocol):
    """φ: turns (state, action) pairs into rows of unit length.

    Attributes:
        action_features: how many leading columns depend on the action alone
            (where many pairs agree in them, the search is quick), 0 if none do.
    """

    action_features: int

    def fit(self, pairs: Sequence[Query]) -> Encoder:
        """Learn what is needed from the offline pairs."""

    def __call__(self, pairs: Sequence[Query]) -> csr_matrix | np.ndarray:
        """One row of length 1 for each pair, sparse or dense, (pairs, features)."""


class TfidfEncoder:
    """φ(s, a): tf-idf of the action's words beside tf-idf of the state's words.

    Args:
        action_weight: w in [0, 1].
    """

    def __init__(self, action_weight: float = 0.6) -> None:
        self.action_weight = action_weight
        words = {"token_pattern": r"[^\s\[\]|:]+|[\[|:]", "lowercase": True, "dtype": np.float32}
        self._action = TfidfVectorizer(ngram_range=(1, 2), **words)
        self._state = TfidfVectorizer(sublinear_tf=True, **words)

    def fit(self, pairs: Sequence[Query]) -> TfidfEncoder:
        """Learn vocabulary and word weights."""
        # New ones, for a copy of this encoder may have learned other words with the old ones.
        self._action = clone(self._action).fit([a for _, a in pairs])
        self._state = clone(self._state).fit([s for s, _ in pairs])
        self.action_features = len(self._action.vocabulary_)
        return self

    def __call__(self, pairs: Sequence[Query]) -> csr_matrix:
        """Unit rows, (pairs, features)."""
        a = self._action.transform([a for _, a in pairs]) * self.action_weight**0.5
        s = self._state.transform([s for s, _ in pairs]) * (1 - self.action_weight) ** 0.5
        return normalize(hstack([a, s]).tocsr())


class DenseEncoder(ABC):
    """φ of any model that makes a vector of a text: the action's beside the state's.

    A text is encoded once and remembered: states and actions come again and
    again.  Rows are dense float32, so n memories take ``8·n·dimensions`` bytes:
    a million with 128-dimensional vectors take 1 GB.

    Args:
        action_weight: w in [0, 1].
        centre: whether the mean vector of the offline texts is taken off first.
            Hidden states of a language model all point much the same way; what
            tells texts apart is the rest.

    Attributes:
        markers: what stands before an action and before a state.
    """

    markers = ("", "")

    def __init__(self, action_weight: float, centre: bool) -> None:
        self.action_weight, self.centre = action_weight, centre
        self._known: dict[str, np.ndarray] = {}

    @abstractmethod
    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector for each text, (texts, dimensions), of any length."""

    def fit(self, pairs: Sequence[Query]) -> DenseEncoder:
        """Learn the mean vectors of actions and states."""
        self._means = [0.0, 0.0]
        actions, states = self._vectors(pairs)
        if self.centre:
            self._means = [actions.mean(axis=0), states.mean(axis=0)]
        self.action_features = actions.shape[1]
        return self

    def __call__(self, pairs: Sequence[Query]) -> np.ndarray:
        """Unit rows, (pairs, 2 · dimensions)."""
        actions, states = (
            _unit(v - m) for v, m in zip(self._vectors(pairs), self._means, strict=True)
        )
        w = self.action_weight
        return _unit(np.hstack([w**0.5 * actions, (1 - w) ** 0.5 * states]))

    def _vectors(self, pairs: Sequence[Query]) -> tuple[np.ndarray, np.ndarray]:
        """What the model makes of actions and of states, (pairs, dimensions) each."""
        actions = [f"{self.markers[0]}{a}" for _, a in pairs]
        states = [f"{self.markers[1]}{s}" for s, _ in pairs]
        new = [t for t in dict.fromkeys((*actions, *states)) if t not in self._known]
        if len(self._known) + len(new) > REMEMBERED:
            self._known.clear()
            new = list(dict.fromkeys((*actions, *states)))
        if new:
            self._known.update(zip(new, self._embed(new).astype(np.float32), strict=True))
        return tuple(np.stack([self._known[t] for t in texts]) for texts in (actions, states))


class HiddenStateEncoder(DenseEncoder):
    """φ(s, a): the mean of a language model's last hidden states over each text.

    Args:
        lm: the language model, such as the backbone.  A copy is taken, because
            memories encoded before and after a training could not be compared.
        action_weight: w in [0, 1].
    """

    markers = (f"{ACTION} ", f"{STATE} ")  # as in the prompts that it knows

    def __init__(self, lm: LanguageModel, action_weight: float = 0.6) -> None:
        super().__init__(action_weight, centre=True)
        self.lm = lm.copy()

    @torch.inference_mode()
    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [self.lm.encode(text)[:LONGEST] for text in texts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # little padding
        found = np.empty((len(rows), self.lm.model.config.hidden_size), np.float32)
        while order:
            size = max(1, TOKENS_PER_PASS // len(rows[order[-1]]))
            order, batch = order[:-size], order[-size:]
            lengths = torch.tensor([len(rows[i]) for i in batch], device=self.lm.device)
            ids = torch.full((len(batch), int(lengths.max())), self.lm.pad)
            for row, i in enumerate(batch):
                ids[row, : len(rows[i])] = torch.tensor(rows[i])
            # Padding stands on the right, where a causal model cannot see it: no mask is needed.
            hidden = self.lm.model.base_model(ids.to(self.lm.device), use_cache=False)[0].float()
            real = torch.arange(hidden.shape[1], device=self.lm.device) < lengths[:, None]
            mean = (hidden * real[..., None]).sum(dim=1) / lengths[:, None]
            found[batch] = mean.cpu().numpy()
        return found


class SentenceEncoder(DenseEncoder):
    """φ(s, a) by a model of the `sentence-transformers` library.

    Args:
        name: a local folder with such a model, or its name on the Hugging Face
            hub; a name needs the network the first time, a folder never does.
        action_weight: w in [0, 1].

    Raises:
        UserError: the library is not installed, or there is no such model.
    """

    def __init__(self, name: str, action_weight: float = 0.6) -> None:
        super().__init__(action_weight, centre=False)
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as e:
            raise UserError(
                "SentenceEncoder needs the library sentence-transformers. Install it: "
                'pip install "dreamgym_nb[embeddings]"'
            ) from e
        try:
            self.model = SentenceTransformer(name)
        except (OSError, ValueError) as e:
            raise UserError(
                f"There is no sentence model {name!r} that can be reached now "
                f"({str(e).strip().splitlines()[0]}). A name of the hub needs the network; without "
                "it only a local folder works, such as one that model.save() wrote."
            ) from e

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        return self.model.encode(list(texts), show_progress_bar=False)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; those of length 0 stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(length, 1e-12)).astype(np.float32)
