"""The search over WebShop's products: words, BM25 and order as Lucene's."""

import numpy as np
import pytest
from webshop_by_hand import make_shop, write_files

from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.catalogue import Search
from dreamgym_nb.worlds.webshop_search import Bm25, document_of, kept_length, words_of


@pytest.fixture
def shop(tmp_path):
    return make_shop(write_files(tmp_path))


def test_lengths_are_kept_as_lucene_keeps_them():
    exact = list(range(41)) + [42, 44, 54, 56, 60, 88, 120, 152, 168, 232, 264, 1816]
    assert [kept_length(n) for n in exact] == exact
    rounded = {41: 40, 43: 42, 59: 56, 95: 88, 117: 112, 145: 144, 226: 216, 245: 232, 1919: 1816}
    assert {n: kept_length(n) for n in rounded} == rounded
    assert all(kept_length(n) <= kept_length(n + 1) <= n + 1 for n in range(3000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Women's shoes, and MEN’S too", ["women", "shoe", "men", "too"]),
        ("assembly technologies biology", ["assembl", "technolog", "biologi"]),
        ("1,000.5 wi-fi u.s.a 3-in-1", ["1,000.5", "wi", "fi", "u.s.a", "3", "1"]),
        ("snake_case _ a:b 5:30", ["snake_cas", "a:b", "5", "30"]),
        ("❤️🌸★ red手机", ["❤️", "🌸", "★", "red", "手", "机"]),
        ("", []),
    ],
)
def test_words_are_cut_and_stemmed_as_lucene_does(text, words):
    assert words_of(text) == words


def test_bm25_is_the_formula():
    texts = ["red mug", "red red mug with a lid", "blue lamp", " ".join(["mug"] * 60)]
    found = Bm25(texts).scores("red mug mug")
    mean = (2 + 4 + 2 + 60) / 4

    def term(times, df, length):
        idf = np.log(1 + (4 - df + 0.5) / (df + 0.5))
        return idf * times / (times + 0.9 * (0.6 + 0.4 * length / mean))

    assert found[0] == pytest.approx(term(1, 2, 2) + 2 * term(1, 3, 2))
    assert found[1] == pytest.approx(term(2, 2, 4) + 2 * term(1, 3, 4))
    assert found[2] == 0.0
    assert found[3] == pytest.approx(2 * term(60, 3, 60))
    assert not Bm25(texts).scores("zebra").any() and not Bm25([""]).scores("mug").any()


def test_the_generated_shops_own_search_agrees():
    """The readable BM25 that the course shows, against this one on the same words."""
    world = make_world("shop", seed=3)
    own, other = (
        Search(world.products, limit=1000),
        Bm25([p.title for p in world.products], str.split),
    )
    queries = {" ".join(t.goal["attributes"]) + f" {t.goal['query']}" for t in world.tasks("train")}
    for query in sorted(queries)[:80]:
        scores = dict(zip((p.id for p in world.products), other.scores(query), strict=True))
        found = [p.id for p in own(query)]
        assert set(found) == {id for id, score in scores.items() if score > 0}
        assert found == sorted(found, key=lambda id: (-round(scores[id], 9), id))


def test_ties_are_broken_by_id_and_fifty_is_the_most(shop):
    mugs = [p.id for p in shop.search("plain mug")]
    plain = sorted(p.id for p in shop.products if p.title.startswith("Plain Mug No"))
    assert mugs[: len(plain)] == plain
    assert document_of(shop.products[0]) == (
        "hill & dale oat biscuits, gluten free crisp oat biscuits,\nbaked <slowly>. keeps for a "
        'year  flavor name: plain, salt | pepper, and size: 2 count (pack of 1), 6" tin'
    )
