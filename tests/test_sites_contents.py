"""What is on the sites: made from a seed, of few words, every name and link one record's."""

import re
from collections import Counter

import numpy as np
import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.documents import parse
from dreamgym_nb.worlds.sites import SITES, make_state, words


def test_a_seed_fixes_the_contents_and_another_changes_them():
    assert make_state(4).records == make_state(4).records
    one, other = make_state(4).records, make_state(5).records
    assert all(one[plural] != other[plural] for plural in one if one[plural] != {plural: {}})


def test_the_contents_of_a_site_do_not_depend_on_the_other_sites():
    everything = make_state(3).records
    for name, site in SITES.items():
        alone = make_state(3, [name])
        assert set(alone.records) == {kind.plural for kind in site.kinds}
        assert all(alone.records[plural] == everything[plural] for plural in alone.records)
        links = parse(alone.handle("GET", "/").html).hrefs.values()
        assert {link.split("/")[1] for link in links} == {site.prefix}


def test_unknown_sites_are_a_sentence():
    with pytest.raises(UserError, match=r"Name at least one of the sites \['shop_admin'"):
        make_state(0, ["map"])
    with pytest.raises(UserError, match="not \\[\\]"):
        make_state(0, [])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_name_belongs_to_one_record(seed):
    """Instructions, links and traces call a record by its title, so titles must differ."""
    site = make_state(seed)
    titles = [site.title(plural, key) for plural in site.records for key in site.records[plural]]
    titles += list(site.kinds)
    singles = [plural for plural, kind in site.kinds.items() if kind.single]
    assert {t for t, n in Counter(titles).items() if n > 1} == set(singles)
    for plural in ("posts", "issues", "merge requests"):
        names = [record["title"] for record in site.records[plural].values()]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_links_between_records_lead_to_records(seed):
    site = make_state(seed)
    for plural, kind in site.kinds.items():
        for key in site.records[plural]:
            for field, other in kind.links.items():
                assert site.value(plural, key, field) in site.records[other]


def test_the_sites_are_made_of_few_words_and_small_numbers():
    seen = Counter()
    for seed in range(4):
        site = make_state(seed)
        for plural, kind in site.kinds.items():
            for key in site.records[plural]:
                values = [site.value(plural, key, field) for field in kind.fields]
                seen.update(re.findall(r"[a-z]+|\d+", " ".join([key, *values])))
    texts = {word for word in seen if not word.isdigit()}
    assert 150 < len(texts) <= 300
    assert max(int(word) for word in seen if word.isdigit()) < 1000
    names = (words.CUSTOMERS, words.USERS, words.DEVELOPERS, words.BOARDS, words.PROJECTS)
    assert max(Counter(name for pool in names for name in pool).values()) == 1


def test_drawing_is_without_repetition():
    rng = np.random.default_rng(0)
    assert len(set(words.pairs(rng, "abc", "def", 9))) == 9
    assert words.numbers(rng, 90) == [str(i) for i in range(10, 100)]
