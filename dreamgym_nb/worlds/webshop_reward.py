"""WebShop's reward rule, as its simulator applies it, and the nouns it needs.

    reward = r_type · (#attributes + #options + price) / (all of them)

The rule was read from WebShop (Yao et al. 2022; princeton-nlp/WebShop, MIT),
``engine/goal.py`` and ``engine/normalize.py``, with its corners kept: what is
compared, in which order, and with which rounding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from rapidfuzz import fuzz, utils

from dreamgym_nb.worlds.catalogue import Product, Verdict, type_reward

ALIKE = 85  # texts are alike where rapidfuzz's token_set_ratio, rounded, is above this

# An option's value is reduced to the first of these that it contains (upstream's COLOR_SET).
COLORS = """
    alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown
    burgundy camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee
    cognac copper coral cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold
    granite grape graphite grass gray green grey heather indigo ivory ivy khaki lavender lemon
    leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom
    mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal
    rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal
    tiger turquoise violet walnut wheat white wine yellow
""".split()

STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then "
    "there these they this to was will with".split()
)
_LATIN_1 = {i: None for i in range(128, 256)}  # thefuzz drops these letters before it compares


def judge(product: Product, chosen: Mapping[str, str], goal: Mapping[str, Any]) -> Verdict:
    """What buying `product` with the `chosen` options is worth for a goal.

    Args:
        product: what was bought, a `webshop_data.WebShopProduct`.
        chosen: option name to chosen value.
        goal: ``attributes``, ``options`` (name to value for a synthetic goal,
            a list of values for a human one), ``price_upper``, ``query``,
            ``category`` and ``nouns``.

    Returns:
        The verdict; its ``score`` is the simulator's reward to the last bit.
    """
    wanted = options_of(goal)
    attributes = [attribute_found(product, a) is not None for a in goal["attributes"]]
    options = [option_found(chosen, option) is not None for option in wanted]
    price = product.price <= goal["price_upper"]
    r_type = type_reward(product, goal)
    met = sum(attributes) + sum(options) + price
    return Verdict(
        type=r_type,
        attributes=dict(zip(goal["attributes"], attributes, strict=True)),
        options=dict(zip(map(option_text, wanted), options, strict=True)),
        price=price,
        score=met / (len(attributes) + len(options) + 1) * r_type,
    )


def options_of(goal: Mapping[str, Any]) -> list[str | tuple[str, str]]:
    """The wanted options: (name, value) pairs of a synthetic goal, values of a human one."""
    options = goal["options"]
    return list(options.items()) if isinstance(options, Mapping) else list(options)


def option_text(option: str | tuple[str, str]) -> str:
    """A wanted option in words."""
    return option if isinstance(option, str) else f"{option[0]} {option[1]}"


def attribute_found(product: Product, wanted: str) -> str | None:
    """Where a product has an attribute: its own one that is alike, or ``"its text"``."""
    for own in sorted(product.attributes):
        if alike(own, wanted):
            return own
    return "its text" if any(wanted in text for text in product.lowered) else None


def option_found(chosen: Mapping[str, str], wanted: str | tuple[str, str]) -> str | None:
    """The chosen value that meets a wanted option, if one does; the name is not compared."""
    # For a synthetic goal upstream compares the pair as Python writes it, "('color', 'red')":
    # the words of the name do no harm, as token_set_ratio looks for one text inside the other.
    target = str(_colour(wanted))
    return next((v for v in chosen.values() if alike(_colour(v), target)), None)


@lru_cache(maxsize=1 << 16)
def alike(one: str, other: str) -> bool:
    """Whether two texts are alike, word order and repetition apart."""
    return round(fuzz.token_set_ratio(_processed(one), _processed(other))) > ALIKE


def title_nouns(title: str) -> list[str]:
    """The words of a title that are no stop words, repetitions kept, in lower case.

    Upstream asks spaCy's English model for the nouns.  Where spaCy and a model
    are installed, pass the real thing to `webshop.load_shop`::

        nlp = spacy.load("en_core_web_sm")
        nouns = lambda title: [t.text.lower() for t in nlp(title) if t.pos_ in ("NOUN", "PROPN")]
    """
    words = re.findall(r"[^\W_]+(?:[.&][^\W_]+)*", re.sub(r"['’]s\b", "", title.lower()))
    return [w for w in words if w not in STOP_WORDS and re.search(r"[^\W\d_]", w)]


@lru_cache(maxsize=1 << 16)
def _processed(text: str) -> str:
    return utils.default_process(text.translate(_LATIN_1))


def _colour(option: str | Sequence[str]) -> str | Sequence[str]:
    """The first colour in an option; in a (name, value) pair only one that is a whole part."""
    return next((colour for colour in COLORS if colour in option), option)
