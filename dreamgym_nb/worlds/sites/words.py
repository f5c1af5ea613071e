"""The words that the generated sites are made of.

They are few on purpose: a tiny language model that has read the sites of some
seeds then knows every word of any other seed, but none of its facts.  The
lists of names do not overlap, so that a name says which site it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CUSTOMERS = tuple("ann bob carl dora emil fay gus hana ivan jane kurt lena mona nils".split())
USERS = tuple("olga paul quinn rosa seth tina ugo vera walt xena yuri zoe amy ben".split())
DEVELOPERS = tuple("cleo dan eva finn gina hugo iris jack kim leo mia noah".split())
CITIES = tuple("berlin cairo delhi lima lagos oslo paris quito rome tokyo".split())
DAYS = tuple("monday tuesday wednesday thursday friday saturday sunday".split())

COLORS = tuple("red blue green black white grey brown pink".split())
GOODS = {
    "kitchen": ("mug", "bowl", "knife", "kettle"),
    "office": ("desk", "pen", "folder", "clock"),
    "home": ("lamp", "rug", "chair", "mirror"),
    "garden": ("spade", "bench", "hose", "pot"),
}

BOARDS = tuple("music books travel games cooking cycling movies history".split())
POST_STYLES = tuple("best cheap strange favourite local early late honest".split())
POST_THINGS = tuple("soup bread song guitar novel poem train island puzzle bike".split())

PROJECTS = tuple("falcon otter badger heron lynx marten panda raven tiger walrus".split())
FAULTS = tuple("broken slow missing wrong empty noisy double hidden".split())
PARTS = tuple("login menu button chart image cache email search table upload".split())
BRANCHES = tuple("alpha beta gamma delta omega sigma".split())
LANGUAGES = tuple("python rust java ruby kotlin".split())
LICENSES = tuple("mit apache gpl bsd".split())
TEAMS = tuple("backend frontend design testing".split())
FILES = tuple("readme parser server client config".split())

# What people write: an adjective and a noun each.
REMARKS = tuple("good bad nice great clear funny small big".split())
MATTERS = tuple("idea work point question answer story plan start".split())


def draw(rng: np.random.Generator, pool: Sequence[str], n: int) -> list[str]:
    """`n` different ones of `pool`, in random order."""
    return [pool[int(i)] for i in rng.permutation(len(pool))[:n]]


def one(rng: np.random.Generator, pool: Sequence[str]) -> str:
    """One of `pool`."""
    return pool[int(rng.integers(len(pool)))]


def pairs(rng: np.random.Generator, first: Sequence[str], second: Sequence[str], n: int) -> list:
    """`n` different texts of two words."""
    return draw(rng, [f"{a} {b}" for a in first for b in second], n)


def numbers(rng: np.random.Generator, n: int) -> list[str]:
    """`n` different numbers of two digits, sorted, as text."""
    return [str(i) for i in sorted(rng.permutation(np.arange(10, 100))[:n])]


def remark(rng: np.random.Generator) -> str:
    """Something to write in a comment: two words."""
    return f"{one(rng, REMARKS)} {one(rng, MATTERS)}"
