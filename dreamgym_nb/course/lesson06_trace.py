"""Exercise 5 of lesson 06: whether a line of the model's own trace is true of the page.

It is what cures a dream of its lies, so it has a module of its own, with the wrong answers.
"""

from __future__ import annotations

import math
import re

from ..worlds.base import WANTED
from .exercises import Exercise, Wrong

# ---- 5: is a line of the trace true of the page? -----------------------------------------------


def line_holds(line: str, page: str) -> bool:
    """The reference: what the model wrote is compared with what stands on the page.

    A line `wanted X got Y yes` holds if the last word of X is among the words of Y, with `no` if
    it is not; a limit `at most $X` is compared as a number. A line `X is there` holds if these
    words stand on the page, one after the other. Nothing is said against any other line.
    """
    if line.startswith(f"{WANTED} "):
        want, _, rest = line.removeprefix(f"{WANTED} ").partition(" got ")
        got, _, said = rest.rpartition(" ")
        if want.startswith("at most "):
            met = _dollars(got) <= _dollars(want.removeprefix("at most "))
        else:
            met = want.split(" ")[-1] in got.split(" ")
        return met == (said == "yes")
    if line.endswith(" is there"):
        return f" {line.removesuffix(' is there')} " in f" {' '.join(page.split())} "
    return True


def _dollars(text: str) -> float:
    """A price as a number; endless for what is none, so that it never fits a limit."""
    digits = text.removeprefix("$")
    return float(digits) if digits.replace(".", "", 1).isdigit() else math.inf


def _yes_is_true(line: str, page: str) -> bool:
    return not line.endswith(" no")


def _only_the_purchase(line: str, page: str) -> bool:
    return line_holds(line, page) if line.startswith(WANTED) else True


def _letters_not_words(line: str, page: str) -> bool:
    if line.startswith(f"{WANTED} ") and " at most " not in line:
        want, _, rest = line.removeprefix(f"{WANTED} ").partition(" got ")
        got, _, said = rest.rpartition(" ")
        return (want.split(" ")[-1] in got) == (said == "yes")
    if line.endswith(" is there"):
        return line.removesuffix(" is there") in page
    return line_holds(line, page)


def _prices_as_words(line: str, page: str) -> bool:
    if line.startswith(f"{WANTED} at most "):
        want, _, rest = line.partition(" got ")
        got, _, said = rest.rpartition(" ")
        return (want.split(" ")[-1] in got.split(" ")) == (said == "yes")
    return line_holds(line, page)


def _only_flattery(line: str, page: str) -> bool:
    return True if line.endswith(" no") else line_holds(line, page)


def _all_words_of_the_wish(line: str, page: str) -> bool:
    if line.startswith(f"{WANTED} ") and " at most " not in line:
        want, _, rest = line.removeprefix(f"{WANTED} ").partition(" got ")
        got, _, said = rest.rpartition(" ")
        return set(want.split(" ")).issubset(got.split(" ")) == (said == "yes")
    return line_holds(line, page)


def _one_word_at_a_time(line: str, page: str) -> bool:
    if line.endswith(" is there"):
        return line.removesuffix(" is there") in page.split()
    return line_holds(line, page)


def _within_a_line(line: str, page: str) -> bool:
    if line.endswith(" is there"):
        return f" {line.removesuffix(' is there')} " in f" {page} "
    return line_holds(line, page)


def _every_price_is_one(line: str, page: str) -> bool:
    if line.startswith(f"{WANTED} at most "):
        want, _, rest = line.partition(" got ")
        got, _, said = rest.rpartition(" ")
        return (float(got[1:]) <= float(want.rpartition("$")[2])) == (said == "yes")
    return line_holds(line, page)


def _at_word_borders(line: str, page: str) -> bool:
    if line.endswith(" is there"):
        thing = re.escape(line.removesuffix(" is there"))
        return re.search(rf"\b{thing}\b", " ".join(page.split())) is not None
    return line_holds(line, page)


def _words_in_any_order(line: str, page: str) -> bool:
    if line.endswith(" is there"):
        return set(line.removesuffix(" is there").split()) <= set(page.split())
    return line_holds(line, page)


_PAGE = "item b12 sporty bamboo bag $80\ncolor: red green\nback to search | < prev | buy now"

LINE_HOLDS = Exercise(
    name="line_holds",
    title="read the trace: is this line true of the page?",
    solution=line_holds,
    cases=lambda: [
        ("the shop lists what matches the words", "search page"),
        ("wanted linen got sporty bamboo yes", _PAGE),
        ("wanted linen got sporty bamboo no", _PAGE),
        ("wanted bamboo got sporty bamboo no", _PAGE),
        ("wanted color green got green yes", _PAGE),
        ("wanted boo got sporty bamboo yes", _PAGE),
        ("wanted at most $65 got $80 yes", _PAGE),
        ("wanted at most $100 got $80 yes", _PAGE),
        ("wanted at most $65 got nothing no", _PAGE),
        ("buy now is there", _PAGE),
        ("now buy is there", _PAGE),
        ("< prev is there", _PAGE),
        ("next > is there", "page 1 of 2\nb12 bag $80\nback to search | next >"),
        ("blue is there", _PAGE),
        ("b1 is there", _PAGE),
        ("green is there", _PAGE),
        ("blue is not there", _PAGE),
    ],
    describe=lambda line, page: f"the line {line!r} on the page {page!r}",
    wrong=(
        Wrong(
            "yes is true",
            _yes_is_true,
            "A line that says no can be as true as one that says yes. The question is not whether "
            "the purchase is good, but whether the model tells what it sees.",
        ),
        Wrong(
            "only the purchase",
            _only_the_purchase,
            "Many lies come earlier: an option that the page does not offer is said to be there, "
            "and chosen. Look at those lines too.",
        ),
        Wrong(
            "letters, not words",
            _letters_not_words,
            "`in` on a text finds letters anywhere: b1 in b12, boo in bamboo. Compare whole words.",
        ),
        Wrong(
            "prices as words",
            _prices_as_words,
            "A limit is met by every lower price, not by the same price only: compare numbers.",
        ),
        Wrong(
            "only flattery",
            _only_flattery,
            "A false no is a lie as well. It costs the agent a success that it had earned.",
        ),
        Wrong(
            "all words of the wish",
            _all_words_of_the_wish,
            "What is wanted may name its kind first: in *color green* only *green* can be got. "
            "Take the last word of X.",
        ),
        Wrong(
            "one word at a time",
            _one_word_at_a_time,
            "Some things have two words, such as *buy now*; in a list of single words they are "
            "never found. Look for the words in a row.",
        ),
        Wrong(
            "words in any order",
            _words_in_any_order,
            "*buy now* is a link, *now buy* is none: the words must stand in a row.",
        ),
        Wrong(
            "at word borders",
            _at_word_borders,
            "`\\b` is a border between a letter and none, and *next >* ends in a sign: it is "
            "there, and is never found. Blanks before and behind do for both.",
        ),
        Wrong(
            "within a line",
            _within_a_line,
            "A page has several lines, and a word at the end of one has no blank behind it. Make "
            "one line of the page first.",
        ),
        Wrong(
            "every price is one",
            _every_price_is_one,
            "The model may write that it got *nothing*. That is no number and no error: it fits no "
            "limit.",
        ),
    ),
)
