"""How tasks are worded: what counts as well-formed, and how alike two tasks are.

Both are learned from the instructions of the training tasks, with no knowledge of the
world, so that they hold for a world that a user brings along too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

BEGIN, END = "^", "$"  # stand before the first word and after the last


def words_of(instruction: str) -> list[str]:
    """The words of an instruction as they are compared: lower case, cut at blanks."""
    return instruction.lower().split()


class Grammar:
    """What the training tasks say of how a task is worded, with no knowledge of the world.

    Two words are of one *kind* where some two tasks differ in nothing else (Harris's
    substitution test, 1954): "red" and "blue" are, and so are "$40" and "$45".  An
    instruction is well-formed when

    * its *frame*, each word replaced by its kind, is that of a training task, and
    * each word has been seen before a word of its next one's kind, and after a word of
      the kind of the one before it: so "a cotton casual shirt" is not.

    It errs on the strict side: what was never seen in a place is not allowed there.

    Args:
        instructions: of the training tasks.
    """

    def __init__(self, instructions: Iterable[str]) -> None:
        texts = sorted({tuple(words_of(i)) for i in instructions})
        alike: dict[tuple, set[str]] = defaultdict(set)  # one word left out → words seen there
        for words in texts:
            for i, word in enumerate(words):
                alike[words[:i], words[i + 1 :]].add(word)
        self._kind: dict[str, str] = {}
        for fillers in alike.values():
            first, *others = sorted(fillers)
            for other in others:
                self._unite(first, other)
        self._frames = {self.frame(words) for words in texts}
        self._neighbours = {pair for words in texts for pair in self._pairs(words)}

    def kind(self, word: str) -> str:
        """The kind of a word, named by its first member."""
        while (above := self._kind.get(word, word)) != word:
            word = above
        return word

    def frame(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words of an instruction replaced by their kinds."""
        return tuple(self.kind(word) for word in words)

    def __call__(self, instruction: str) -> bool:
        """Whether an instruction is well-formed."""
        words = words_of(instruction)
        return self.frame(words) in self._frames and self._neighbours.issuperset(self._pairs(words))

    def _unite(self, one: str, other: str) -> None:
        first, second = sorted((self.kind(one), self.kind(other)))
        if first != second:
            self._kind[second] = first

    def _pairs(self, words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """Each word with the kinds of its neighbours."""
        around = [BEGIN, *words, END]
        for left, right in zip(around, around[1:], strict=False):
            yield "before", left, self.kind(right)
            yield "after", right, self.kind(left)


class Likeness:
    """How alike two instructions are: the cosine of their words, rare ones weighing more.

    Args:
        instructions: of the training tasks; they say which words are rare.
    """

    def __init__(self, instructions: Sequence[str]) -> None:
        self._tfidf = TfidfVectorizer(token_pattern=r"\S+").fit(instructions)

    def rows(self, instructions: Sequence[str]) -> csr_matrix:
        """One sparse row of length 1 for each instruction, (instructions, words)."""
        return self._tfidf.transform(instructions)

    def __call__(self, one: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """Cosines in [0, 1], (one, others)."""
        return (self.rows(one) @ self.rows(others).T).toarray()
