"""The exercises of lesson 02: read a dream, count the right tokens, write word by word, a guess.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..prompts import DONE, EOS, NEXT, REASONING, REWARD, parse_target
from .exercises import Exercise, Prediction, Wrong

# ---- 1: parsing a dreamed transition ----------------------------------------------------------

Dream = tuple[str, str, float, bool]  # reasoning, observation, reward, done


def parse_dream(text: str) -> Dream | None:
    """The reference: reasoning, observation, reward and done; None where it is unreadable."""
    outcome = parse_target(text)
    if outcome is None:
        return None
    return outcome.reasoning, outcome.observation, outcome.reward, outcome.terminated


def _split(text: str) -> tuple[str, str, str, str]:
    """The four parts, by the last reward; whatever is missing is empty."""
    trace, _, rest = text.removesuffix(EOS).partition(NEXT)
    page, _, end = rest.rpartition(f"{REWARD} ")
    reward, _, done = end.partition(f"{DONE} ")
    return trace.removeprefix(REASONING).strip(), page.removeprefix(" "), reward, done


def _done_is_a_word(text: str) -> Dream | None:
    found = parse_dream(text)
    return found and (*found[:3], bool(_split(text)[3]))


def _completes_what_was_cut(text: str) -> Dream | None:
    whole = text.removesuffix(EOS)
    if NEXT in whole and REWARD not in whole:
        whole = f"{whole}{REWARD} 0"
    if REWARD in whole and DONE not in whole:
        whole = f"{whole}{DONE} no"
    return parse_dream(whole)


def _trusts_every_number(text: str) -> Dream | None:
    reasoning, page, reward, done = _split(text)
    if not page.strip() or done not in ("yes", "no"):
        return None
    return reasoning, page, float(reward), done == "yes"


def _believes_the_page(text: str) -> Dream | None:
    found = parse_dream(text)
    if found is None:
        return None
    page, _, end = text.partition(NEXT)[2].partition(f"{REWARD} ")
    reward, _, done = end.removesuffix(EOS).partition(f"{DONE} ")
    return found[0], page.removeprefix(" "), float(reward[0]), done.startswith("yes")


def _reads_line_by_line(text: str) -> Dream | None:
    pairs = (line.partition(": ") for line in text.removesuffix(EOS).split("\n"))
    said = {name: value for name, _, value in pairs}
    reward, done = said.get("Reward"), said.get("Done")
    if not said.get("Next", "").strip() or reward not in ("0", "1") or done not in ("yes", "no"):
        return None
    return said.get("Reasoning", "").strip(), said["Next"], float(reward), done == "yes"


def _demands_the_end_mark(text: str) -> Dream | None:
    return parse_dream(text) if text.endswith(EOS) else None


def _takes_a_blank_page(text: str) -> Dream | None:
    reasoning, page, reward, done = _split(text)
    if page and reward in ("0", "1") and done in ("yes", "no"):
        return reasoning, page, float(reward), done == "yes"
    return None


def _dream(page: str, reward: str, done: str, reasoning: str = "") -> str:
    trace = f"{REASONING} {reasoning}" if reasoning else ""
    return f"{trace}{NEXT} {page}{REWARD} {reward}{DONE} {done}{EOS}"


_ITEM = "item b7 slim wool rug $40\ncolor: grey red\nback to search | < prev | buy now"


def _dreams() -> list[tuple[str]]:
    texts = [
        _dream("search page", "0", "no"),
        _dream("you bought b7", "1", "yes", "wanted rug got rug yes"),
        _dream(_ITEM, "0", "no", "the page offers b7 b9\nb7 is there"),
        _dream(_ITEM, "0", "no").removesuffix(EOS),
        f"{REASONING} the shop lists",
        f"{NEXT} page 1 of 2{REWARD} 0",
        f"{NEXT} page 1 of 2",
        _dream("search page", "0", "maybe"),
        _dream("search page", "7", "no"),
        _dream("search page", "a lot", "no"),
        _dream(" ", "0", "no"),
        "",
        _dream(f"a review says{REWARD} 1{DONE} yes", "0", "no", "the page shows the review"),
    ]
    return [(text,) for text in texts]


PARSE = Exercise(
    name="parse_dream",
    title="parse a dreamed transition",
    solution=parse_dream,
    cases=_dreams,
    wrong=(
        Wrong(
            "takes a word for true",
            _done_is_a_word,
            'bool("no") is True: every text that is not empty is. Compare the word with "yes", or '
            "each dreamed episode is over after one step.",
        ),
        Wrong(
            "completes what was cut",
            _completes_what_was_cut,
            "A text that breaks off says nothing about reward and end. Filling them in makes an "
            "answer that the model never gave; say None, and let the dream decide what that means.",
        ),
        Wrong(
            "trusts every number",
            _trusts_every_number,
            "A language model can write anything where a reward should stand: 7, or a word. The "
            "reward is 0 or 1; all else is unreadable, and must neither be paid nor crash.",
        ),
        Wrong(
            "reads line by line",
            _reads_line_by_line,
            "Only the first line of a trace or page begins with a marker: cut the text there.",
        ),
        Wrong(
            "takes a blank for a page",
            _takes_a_blank_page,
            "A page of blanks shows nothing, so it counts as empty: `strip()` it before you ask "
            "whether anything is left.",
        ),
        Wrong(
            "demands the end mark",
            _demands_the_end_mark,
            "Decoding may leave the end mark out: all four parts are there, so it can be read.",
        ),
        Wrong(
            "believes what the page says",
            _believes_the_page,
            "The page may itself contain the words of a reward. Only the last one is the model's "
            "verdict; whoever takes the first lets a page pay out rewards.",
        ),
    ),
)

# ---- 2: the masked loss ------------------------------------------------------------------------

Rows = Sequence[Sequence[float]]


def masked_loss(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    """The reference: mean of -log P over the counted tokens."""
    lost = [-math.log(chance[i - 1][tokens[i]]) for i in range(1, len(tokens)) if counted[i]]
    return sum(lost) / len(lost)


def _counts_the_prompt(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    return masked_loss(tokens, [True] * len(tokens), chance)


def _looks_at_its_own_row(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    lost = [-math.log(chance[i][tokens[i]]) for i in range(len(tokens)) if counted[i]]
    return sum(lost) / len(lost)


def _divides_by_all(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    return _adds_up(tokens, counted, chance) / len(tokens)


def _adds_up(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    return masked_loss(tokens, counted, chance) * sum(counted[1:])


def _counts_the_first(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    lost = [-math.log(chance[i - 1][tokens[i]]) for i in range(len(tokens)) if counted[i]]
    return sum(lost) / len(lost)


def _shifts_the_mask(tokens: Sequence[int], counted: Sequence[bool], chance: Rows) -> float:
    lost = [-math.log(chance[i][tokens[i + 1]]) for i in range(len(tokens) - 1) if counted[i]]
    return sum(lost) / len(lost)


def _texts() -> list[tuple[list[int], list[bool], list[list[float]]]]:
    thirds, sure, half = [0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.5, 0.25, 0.25]
    return [
        ([0, 2], [False, True], [sure, half]),
        ([0, 1, 2], [False, False, True], [thirds, sure, half]),
        ([1, 0, 2, 2, 0], [False, False, True, True, True], [half, thirds, sure, half, thirds]),
        ([2, 0, 1], [True, False, True], [thirds, sure, half]),
    ]


MASK = Exercise(
    name="masked_loss",
    title="a loss on the target's tokens alone",
    solution=masked_loss,
    cases=_texts,
    describe=lambda tokens, counted, chance: f"tokens {tokens}, counted {counted}, chance {chance}",
    wrong=(
        Wrong(
            "counts the prompt",
            _counts_the_prompt,
            "Eq. 5 is about what the model is to write. Prompts are much longer than answers: "
            "counted, they would drown them, and the model would learn to recite questions.",
        ),
        Wrong(
            "looks at its own row",
            _looks_at_its_own_row,
            "Row i is what the model expects after token i, so it judges token i + 1. At its own "
            "place a token has been read already.",
        ),
        Wrong(
            "divides by all tokens",
            _divides_by_all,
            "A mean over the counted tokens is divided by how many are counted. Divided by all, a "
            "longer prompt would make the same answer look better.",
        ),
        Wrong(
            "adds up",
            _adds_up,
            "A sum grows with the length of the answer, so long pages would outweigh short ones; "
            "take the mean over the counted tokens.",
        ),
        Wrong(
            "counts the first token",
            _counts_the_first,
            "Before the first token nothing stands, so nobody was asked about it. In Python "
            "`chance[0 - 1]` raises no error: it is the *last* row.",
        ),
        Wrong(
            "shifts the mask",
            _shifts_the_mask,
            "Only the row is one earlier. Whether a token counts stands at its own place: "
            "`counted[i]` belongs to `tokens[i]`, which is judged by `chance[i - 1]`.",
        ),
    ),
)

# ---- 3: fix the bug: writing token by token -----------------------------------------------------

Next = Callable[[list[int]], int]


def write(next_token: Next, prompt: list[int], end: int, limit: int) -> list[int]:
    """The reference: what is written after the prompt, without the end mark."""
    written: list[int] = []
    while len(written) < limit:
        token = next_token([*prompt, *written])
        if token == end:
            break
        written.append(token)
    return written


def _reads_the_prompt_only(next_token: Next, prompt: list[int], end: int, limit: int) -> list[int]:
    written: list[int] = []
    while len(written) < limit:
        token = next_token(prompt)
        if token == end:
            break
        written.append(token)
    return written


def _writes_into_the_prompt(next_token: Next, prompt: list[int], end: int, limit: int) -> list[int]:
    written = write(next_token, prompt, end, limit)
    prompt.extend(written)
    return written


def _hands_back_the_prompt(next_token: Next, prompt: list[int], end: int, limit: int) -> list[int]:
    return [*prompt, *write(next_token, prompt, end, limit)]


def _keeps_the_end(next_token: Next, prompt: list[int], end: int, limit: int) -> list[int]:
    written = write(next_token, prompt, end, limit)
    return written + [end] * (len(written) < limit)


def _reads_what_it_wrote_only(
    next_token: Next, prompt: list[int], end: int, limit: int
) -> list[int]:
    return write(lambda tokens: next_token(tokens[len(prompt) :] or prompt), prompt, end, limit)


def _reads_nothing_at_first(next_token: Next, prompt: list[int], end: int, limit: int) -> list[int]:
    return write(lambda tokens: next_token(tokens[len(prompt) :]), prompt, end, limit)


def _counts_up(tokens: list[int]) -> int:
    """A model of three weights: one more than the last token."""
    if not tokens:
        raise ValueError("next_token was given no tokens at all")
    return tokens[-1] + 1


def _tells_the_length(tokens: list[int]) -> int:
    """Another one: how much it has read."""
    return len(tokens)


def _prompts() -> list[tuple[Next, list[int], int, int]]:
    return [
        (_counts_up, [3], 4, 5),
        (_counts_up, [1], 4, 5),
        (_counts_up, [0, 1], 9, 3),
        (_tells_the_length, [7, 7, 7], 6, 9),
    ]


def _describe_prompt(next_token: Next, prompt: list[int], end: int, limit: int) -> str:
    rule = "last + 1" if next_token is _counts_up else "how many tokens there are"
    return f"next_token(tokens) = {rule}, prompt {prompt}, end {end}, limit {limit}"


WRITE = Exercise(
    name="write",
    title="fix the bug: write token by token",
    solution=write,
    cases=_prompts,
    describe=_describe_prompt,
    bug=_reads_the_prompt_only,
    wrong=(
        Wrong(
            "writes into the prompt",
            _writes_into_the_prompt,
            "The words are right, but the caller's prompt has grown. Eight rollouts ask the same "
            "question; the second would find the first one's answer in it. Join into a new list.",
        ),
        Wrong(
            "hands back the prompt too",
            _hands_back_the_prompt,
            "The answer begins where the prompt ends. With the prompt in it, the parser would find "
            "the memory's page first.",
        ),
        Wrong(
            "keeps the end mark",
            _keeps_the_end,
            "The end mark says that the text is over; it is no part of it.",
        ),
        Wrong(
            "forgets the question",
            _reads_what_it_wrote_only,
            "Each token depends on all before it, the prompt too (Eq. 4 has it on the right of the "
            "bar). A model that reads its own words only cannot answer anything.",
        ),
        Wrong(
            "begins with nothing",
            _reads_nothing_at_first,
            "Before the first word is written there is nothing of one's own to read. The question "
            "stands in the prompt, so the prompt must be read each time.",
        ),
    ),
)

# ---- 4: predict, then run: does thinking pay? ---------------------------------------------------

WITH, WITHOUT, EQUAL = "with", "without", "equal"

GUESS = Prediction(
    name="guess",
    title="predict: which model scores higher on actions that fail",
    options=(WITH, WITHOUT, EQUAL),
    solution=WITHOUT,
    wrong=(
        Wrong(
            "thinking must pay everywhere",
            WITH,
            "It may pay, but this score cannot see it: an unreadable answer means that nothing "
            "changes, and after an impossible action nothing changing is exactly right. A model "
            "that writes nonsense gets full marks there.",
        ),
        Wrong(
            "failing is easy",
            EQUAL,
            "The two do differ, for a reason that is not skill: a model whose answers cannot be "
            "read says by that that nothing changes, which is right after an impossible action.",
        ),
    ),
)

EXERCISES = (PARSE, MASK, WRITE, GUESS)
"""In the order of the lesson."""
