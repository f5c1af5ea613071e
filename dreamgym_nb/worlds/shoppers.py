"""Who leaves the offline log: shoppers of mixed quality.

A dream built from successes alone cannot imagine failing, so most of these
shoppers do something wrong, each in a way of its own.  They act on the
engine's own knowledge of the present episode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dreamgym_nb.errors import UserError

if TYPE_CHECKING:
    from dreamgym_nb.worlds.shop import Shop

BACK, PREV, NEXT, BUY = "back to search", "< prev", "next >", "buy now"

SHARES = {
    "expert": 0.15,
    "exploring": 0.2,
    "careless": 0.15,
    "hasty": 0.25,
    "random": 0.1,
    "invalid": 0.15,
}
"""The usual share of each behaviour in a log."""


def act(shop: Shop, behaviour: str, rng: np.random.Generator) -> str:
    """The next action of a behaviour in the shop's present episode.

    expert: searches for what is wanted, opens the first item that fits
        what the results show, checks its options, goes back if they lack.
    exploring: the expert, but every third action is a random one.
    careless: the right search, then a likely item, likely options, buys.
    hasty: careless, but clicks what it wants without looking whether the
        page offers it, as a policy in training does.
    random: any action that works.
    invalid: the expert, but half of its actions cannot work.

    Raises:
        UserError: there is no such behaviour.
    """
    if behaviour == "expert":
        return _expert(shop, rng)
    if behaviour == "exploring":
        return _random(shop, rng) if rng.random() < 0.34 else _expert(shop, rng)
    if behaviour == "careless":
        return _careless(shop, rng)
    if behaviour == "hasty":
        return _hasty(shop, rng)
    if behaviour == "random":
        return _random(shop, rng)
    if behaviour == "invalid":
        return _invalid(shop, rng) if rng.random() < 0.5 else _expert(shop, rng)
    raise UserError(f"The shop has no behaviour {behaviour!r}; it has {list(SHARES)}.")


def _expert(shop: Shop, rng: np.random.Generator) -> str:
    goal = shop.task.goal
    if shop._item is None and shop._page == 0:
        queries = shop.queries()
        return f"search[{queries[min(len(shop._queries), len(queries) - 1)]}]"
    if shop._item is None:
        for p in shop._rows():
            verdict = shop.judge(p, shop.wanted(p), goal)
            if verdict.score == 1.0 and p.id.lower() not in shop._visited:
                return f"click[{p.id}]"
        more = shop._page < shop._pages() and shop._page < 3
        return f"click[{NEXT if more else BACK}]"
    if shop._text is not None:
        return f"click[{PREV}]"
    offered, wanted = shop._item.options, shop.wanted(shop._item)
    if any(value not in offered.get(name, ()) for name, value in wanted.items()):
        return f"click[{PREV}]"
    if shop.judge(shop._item, wanted, goal).score < 1.0:
        return f"click[{PREV}]"
    for name, value in wanted.items():
        if shop._chosen.get(name) != value:
            return f"click[{value}]"
    return f"click[{BUY}]"


def _careless(shop: Shop, rng: np.random.Generator) -> str:
    goal = shop.task.goal
    if shop._text is not None:
        return f"click[{PREV}]"
    if shop._item is None and shop._page == 0:
        words = [*goal["attributes"], goal["query"]]
        values = list(shop.wanted().values())
        if rng.random() < 0.1 and values:  # people also type what no title holds
            words = [str(rng.choice(values)), *words]
        return f"search[{' '.join(words if rng.random() < 0.7 else words[-1:])}]"
    if shop._item is None:
        rows = shop._rows()
        if rows and rng.random() < 0.9:
            return f"click[{rows[min(int(rng.geometric(0.5)) - 1, len(rows) - 1)].id}]"
        return _random(shop, rng)
    missing = [n for n in shop._item.options if n not in shop._chosen]
    if missing and rng.random() < 0.85:
        values = shop._item.options[missing[0]]
        wanted = shop.wanted(shop._item).get(missing[0])
        right = wanted in values and rng.random() < 0.75
        return f"click[{wanted if right else rng.choice(values)}]"
    return f"click[{BUY}]" if rng.random() < 0.85 else _random(shop, rng)


def _hasty(shop: Shop, rng: np.random.Generator) -> str:
    if shop._item is None or shop._text is not None:
        return _careless(shop, rng)
    # What was clicked since this page was opened, whether or not it worked.
    tried = [action for _, action in shop.history[-4:]]
    wanted = shop.wanted(shop._item)
    for value in wanted.values():
        if f"click[{value}]" not in tried and value not in shop._chosen.values():
            return f"click[{value}]"
    missing = len(shop._chosen) < len(wanted)
    return f"click[{PREV}]" if missing and rng.random() < 0.6 else f"click[{BUY}]"


def _random(shop: Shop, rng: np.random.Generator) -> str:
    things = shop._clickables()
    if shop._page == 0 or not things or rng.random() < 0.05:
        product = shop.products[int(rng.integers(len(shop.products)))]
        words = product.title.split()
        keep = rng.random(len(words)) < 0.6
        query = [w for w, k in zip(words, keep, strict=True) if k] or [product.query]
        return f"search[{' '.join(query).replace('[', '')}]"
    return f"click[{things[int(rng.integers(len(things)))]}]"


def _invalid(shop: Shop, rng: np.random.Generator) -> str:
    """Something that cannot work here: other pages' things, or no action at all."""
    things = set(shop._clickables())
    options = shop.option_values()
    pool = [p.id for p in shop.products] + options * 4 + [BACK, PREV, NEXT, BUY] * 8
    pool += [*shop.wanted().values()] * 20
    pool += [shop.task.goal["query"], *shop.task.goal["attributes"], "search"] * 2
    bad = [x for x in pool if x not in things]
    if rng.random() < 0.1:
        broken = ("", "click", "search[]", "click[]", "buy", "click buy now", "help", "[]")
        return str(rng.choice(broken))
    return f"click[{bad[int(rng.integers(len(bad)))]}]"
