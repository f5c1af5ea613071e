"""WebShop's search: what Lucene does with its index, without Java.

Upstream searches with Anserini (Lucene, BM25 with k1 0.9 and b 0.4, its
default English analyser).  To give the same pages in the same order, three
things have to be Lucene's: how text is cut into words, the Porter stems, and
that the length of a document is kept in one byte, so that it is rounded.  A
BM25 library with exact lengths gives the same first hit nearly always, but
the same first page in fewer than two of three searches.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
import snowballstemmer
from scipy.sparse import csc_array

from dreamgym_nb.worlds.webshop_data import WebShopProduct
from dreamgym_nb.worlds.webshop_reward import STOP_WORDS

K1, B = 0.9, 0.4
LIMIT = 50

# Word boundaries of Unicode Standard Annex 29, as far as Lucene's tokenizer keeps what lies
# between them: ideographs and emojis one by one, and words, inside which an apostrophe or a dot
# may stand between letters, a comma or a dot between digits.
_IDEOGRAPH = r"\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_KATAKANA = r"\u30a0-\u30ff"
_LETTER = r"[^\W\d_]"
_MARK = "\u0300-\u036f\u00ad\u200d\ufe0f"
_EMOJI = (
    "[©®‼⁉™ℹ\u2194-\u2199↩↪⌚⌛⌨\u2388⏏\u23e9-\u23f3\u23f8-\u23faⓂ▪▫▶◀\u25fb-\u25fe"
    "\u2600-\u2605\u2607-\u2612\u2614-\u2685\u2690-\u2705\u2708-\u2712✔✖✝✡✨✳✴❄❇❌❎"
    "\u2753-\u2755❗\u2763-\u2767\u2795-\u2797➡➰➿⤴⤵⬅⬆⬇⬛⬜⭐⭕〰〽㊗㊙\U0001f000-\U0001faff]"
)
_TOKEN = re.compile(
    rf"[{_IDEOGRAPH}]|[{_KATAKANA}]+"
    rf"|{_EMOJI}[\ufe0f\U0001f3fb-\U0001f3ff]*(?:\u200d{_EMOJI}\ufe0f?)*"
    rf"|(?:[^\W{_IDEOGRAPH}{_KATAKANA}][{_MARK}]*(?:(?<={_LETTER})[:·.'‘’‧︓﹕：﹒．＇](?={_LETTER})"
    r"|(?<=\d)[,;.'‘’⁄·٬︐︔﹐﹔，；․﹒．＇](?=\d))?)+"
)
_porter = snowballstemmer.stemmer("porter")


def words_of(text: str) -> list[str]:
    """The terms of a text, as Anserini's default English analyser gives them."""
    return [term for term in map(_term, _TOKEN.findall(text)) if term]


@lru_cache(maxsize=1 << 17)
def _term(token: str) -> str:
    """The term of a token: no possessive s, lower case, stemmed; empty for a stop word."""
    word = re.sub(r"['’＇][sS]$", "", token).lower()
    if word in STOP_WORDS or not word.strip("_"):
        return ""
    if len(word) <= 2:
        return word
    # Porter's stem, with the two later changes that Lucene has: bli → ble and logi → log.
    stem = _porter.stemWord(word)
    for end, better in (("bli", "ble"), ("logi", "log")):
        if stem.endswith(end) and re.search(r"[aeiouy][^aeiouy]", stem[: -len(end)]):
            return _porter.stemWord(stem[: -len(end)] + better)
    return stem


def kept_length(n: int) -> int:
    """The length of a document as Lucene keeps it in one byte: exact to 40, then 4 bits of it."""
    if n < 40:
        return n
    shift = max(0, (n - 24).bit_length() - 4)
    return 24 + ((n - 24) >> shift << shift)


class Bm25:
    """BM25 over documents as Lucene computes it.

    Args:
        documents: one text each.
        analyse: cuts a text into terms.
    """

    def __init__(
        self, documents: Sequence[str], analyse: Callable[[str], list[str]] = words_of
    ) -> None:
        self.analyse = analyse
        bags = [Counter(analyse(text)) for text in documents]
        lengths = np.array([sum(bag.values()) for bag in bags])
        kept = np.array([kept_length(int(n)) for n in lengths])
        norms = K1 * (1 - B + B * kept / max(1.0, lengths.mean()))
        self.terms = {term: i for i, term in enumerate(dict.fromkeys(t for b in bags for t in b))}
        found = [(row, self.terms[t], n) for row, bag in enumerate(bags) for t, n in bag.items()]
        rows, columns, counts = np.array(found, dtype=int).reshape(-1, 3).T
        df = np.bincount(columns, minlength=len(self.terms))
        idf = np.log(1 + (len(bags) - df + 0.5) / (df + 0.5))
        weights = idf[columns] * counts / (counts + norms[rows])
        shape = (len(bags), len(self.terms))
        self.weights = csc_array((weights, (rows, columns)), shape=shape)

    def scores(self, query: str) -> np.ndarray:
        """The score of each document, shape (documents,); 0 where no term agrees."""
        terms = Counter(self.terms[t] for t in self.analyse(query) if t in self.terms)
        scores = np.zeros(self.weights.shape[0])
        for term, times in terms.items():
            part = slice(self.weights.indptr[term], self.weights.indptr[term + 1])
            scores[self.weights.indices[part]] += times * self.weights.data[part]
        return scores


class WebShopSearch:
    """Search in WebShop's products, with two of its hidden modes.

    ``<q> words`` lists the products of that kind, ``<c> word`` those of that
    department, all of them and in the order of the catalogue.  The other two
    are searched for as words: ``<r>``, products drawn at random, and ``<a>``,
    at which the real simulator stops with an error.

    Args:
        products: the catalogue.
        rank: words to the ids of the results, best first, in place of BM25.
    """

    def __init__(
        self,
        products: Sequence[WebShopProduct],
        rank: Callable[[str], Iterable[str]] | None = None,
    ) -> None:
        self.products = {p.id: p for p in products}
        self.rank = rank if rank is not None else self.by_lucene
        if rank is None:
            self._ids = np.array(list(self.products))
            self._place = np.argsort(np.argsort(self._ids))
            self._index = Bm25([document_of(p) for p in self.products.values()])

    def by_lucene(self, words: str) -> list[str]:
        """The ids of the best `LIMIT` products; the lower id first where scores are equal."""
        scores = self._index.scores(words).astype(np.float32)  # as Lucene keeps them
        hits = np.flatnonzero(scores)
        best = hits[np.lexsort((self._place[hits], -scores[hits]))][:LIMIT]
        return [str(id) for id in self._ids[best]]

    def __call__(self, words: str) -> list[WebShopProduct]:
        """The products that match, best first; at most `LIMIT` of them, unless by a mode."""
        mode, *rest = words.split(" ")
        if mode == "<q>":
            return [p for p in self.products.values() if p.query == " ".join(rest).strip()]
        if mode == "<c>":
            return [p for p in self.products.values() if p.department in rest[:1]]
        return [self.products[id] for id in self.rank(words)]


def document_of(product: WebShopProduct) -> str:
    """What WebShop's index holds of a product: its first feature only, and its options."""
    options = ", and ".join(f"{name}: {', '.join(v)}" for name, v in product.options.items())
    parts = [product.title, product.description, *product.bullets[:1], options]
    return " ".join(parts).lower()
