"""How tasks are worded: kinds of words, frames, and what is well-formed, all from examples."""

import pytest

from dreamgym_nb.task_words import Grammar, Likeness, words_of
from dreamgym_nb.worlds import make_world

FEW = ("find a red mug", "find a blue mug", "find a blue rug", "go to the shop", "find two red mug")


@pytest.fixture
def grammar():
    return Grammar(FEW)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("red", "blue", True),
        ("mug", "rug", True),
        ("a", "two", True),
        ("red", "mug", False),
        ("find", "go", False),
        ("shop", "mug", False),
    ],
)
def test_words_are_of_a_kind_where_two_tasks_differ_in_nothing_else(grammar, one, other, same):
    assert (grammar.kind(one) == grammar.kind(other)) is same


def test_kinds_join_up_whatever_the_order():
    chain = ["x 1", "x 2", "y 2", "y 3"]
    for texts in (chain, chain[::-1]):
        grammar = Grammar(texts)
        assert grammar.kind("1") == grammar.kind("3") != grammar.kind("x")


def test_a_frame_has_kinds_for_words(grammar):
    one, other = (
        grammar.frame(["find", "a", "red", "mug"]),
        grammar.frame("find two blue rug".split()),
    )
    assert one == other and len(one) == 4
    assert grammar.frame(["find", "a", "new", "mug"]) != one


@pytest.mark.parametrize("instruction", [*FEW, "find a red rug", "Find  two blue MUG"])
def test_what_follows_the_examples_is_well_formed(grammar, instruction):
    assert grammar(instruction)


@pytest.mark.parametrize(
    "instruction",
    [
        "",
        "find a green mug",  # a word never seen
        "find a mug",  # a frame never seen
        "find a red",
        "find a red mug mug",
        "go to the mug",  # another kind of word there
        "find red a mug",
        "the shop to go",
    ],
)
def test_what_does_not_is_not(grammar, instruction):
    assert not grammar(instruction)


def test_a_word_must_have_been_seen_beside_such_a_neighbour():
    """All styles and materials are one kind here, but a style never follows one."""
    one_word = ["a old rug", "a slim rug", "a wool rug", "a tin rug"]
    grammar = Grammar([*one_word, "a old wool rug", "a slim tin rug"])
    assert grammar.kind("old") == grammar.kind("wool")
    assert grammar("a slim wool rug") and grammar("a old tin rug")
    assert not grammar("a wool old rug") and not grammar("a old slim rug")


def test_right_neighbours_do_not_make_a_sentence():
    grammar = Grammar(["put a clean mug in bed", "clean a mug and put it in bed"])
    for torn in ("clean mug in bed", "put it in bed", "clean a mug in bed", "put a mug in bed"):
        assert not grammar(torn)


@pytest.mark.parametrize(("name", "least"), [("shop", 1.0), ("house", 0.7), ("web", 0.85)])
def test_a_world_s_unseen_tasks_are_well_formed_and_garbled_ones_are_not(name, least):
    world = make_world(name, seed=0)
    known = {t.instruction for t in world.tasks("train")}
    unseen = sorted({t.instruction for t in world.tasks("test")} - known)
    grammar = Grammar(known)
    assert all(map(grammar, known))
    assert sum(map(grammar, unseen)) / len(unseen) >= least
    backwards = [" ".join(reversed(words_of(i))) for i in unseen]
    doubled = [f"{i} {i}" for i in unseen]
    assert not any(map(grammar, [*backwards, *doubled]))


def test_likeness_is_a_cosine_in_which_rare_words_weigh_more():
    likeness = Likeness(["find a mug", "find a rug", "find a hat", "go home"])
    found = likeness(["find a mug"], ["find a mug", "a mug", "find a", "go home", "who knows"])[0]
    assert found[0] == pytest.approx(1.0)
    assert found[1] > found[2] > found[3] == 0.0 == found[4]
    assert likeness(["a b", "go"], ["go"]).shape == (2, 1)
