"""What a shop sells: products, the generated catalogue, search and the reward rule.

The shop engine (shop.py) knows only this module's `Product` and the fields of
a task's goal, so that another source of products, such as WebShop's own file, can
take the place of the generated one without touching pages or rewards.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamgym_nb.experience import Task

NOUNS = ("shirt", "jacket", "shoes", "bag", "lamp", "rug", "chair", "mug")
MATERIALS = ("cotton", "wool", "leather", "linen", "steel", "bamboo")
STYLES = ("casual", "classic", "modern", "vintage", "sporty", "slim")
OPTIONS = {
    "color": ("red", "blue", "green", "black", "white", "grey"),
    "size": ("small", "medium", "large", "giant"),
}
PRICES = tuple(range(10, 100, 5))


PER_KIND = 12  # products of each noun in a generated catalogue


@dataclass(frozen=True)
class Product:
    """One product of a catalogue.

    Attributes:
        id: what one clicks in a results page.
        title: one line of text.
        price: in dollars.
        options: for each option its values, in page order.
        query: the kind of product, WebShop's ``query`` (here the noun).
        category: path of the product's category, most general part first.
        nouns: nouns of the title, for the type term of the reward.
        attributes: what can be asked of it ("cotton", "casual").
        texts: further pages of the product, by button name (WebShop's
            Description, Features and Reviews); the generated ones have none.
    """

    id: str
    title: str
    price: float
    options: Mapping[str, tuple[str, ...]]
    query: str
    category: tuple[str, ...] = ()
    nouns: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    texts: Mapping[str, str] = ()  # type: ignore[assignment]

    @property
    def price_tag(self) -> str:
        """The price as pages show it."""
        return f"${self.price:g}"

    @property
    def row(self) -> str:
        """The product as a line of a page."""
        return f"{self.id} {' '.join(self.title.split())} {self.price_tag}"


def generate_products(seed: int) -> list[Product]:
    """A seeded catalogue: `PER_KIND` products for each of the eight nouns.

    Ids are given in random order over the whole catalogue, so that an id
    tells nothing about its product.
    """
    rng = np.random.default_rng([seed, 1])
    ids = [f"b{i}" for i in rng.permutation(np.arange(10, 10 + PER_KIND * len(NOUNS)))]
    products = []
    for noun in NOUNS:
        pairs = list(itertools.product(STYLES, MATERIALS))
        for p in rng.choice(len(pairs), size=PER_KIND, replace=False):
            style, material = pairs[p]
            options = {}
            for (name, values), n in zip(OPTIONS.items(), (3, 2), strict=True):
                offered = sorted(rng.choice(len(values), n, replace=False))
                options[name] = tuple(values[i] for i in offered)
            products.append(
                Product(
                    id=ids.pop(),
                    title=f"{style} {material} {noun}",
                    price=float(rng.choice(PRICES)),
                    options=options,
                    query=noun,
                    category=("all", noun),
                    nouns=frozenset({noun}),
                    attributes=frozenset({style, material}),
                )
            )
    return sorted(products, key=lambda p: p.id)


def generate_tasks(products: Sequence[Product], seed: int) -> dict[str, list[Task]]:
    """Training and test tasks of a catalogue, disjoint by what must be bought.

    A task is built from a target product and one value of each of its
    options; every such combination goes to one split only (one in four to
    test), so no test task asks for what a training task asked for.
    Training combinations give two tasks (other attributes, other price
    limit), test combinations one.
    """
    rng = np.random.default_rng([seed, 2])
    combos = [(p, values) for p in products for values in itertools.product(*p.options.values())]
    tasks: dict[str, list[Task]] = {"train": [], "test": []}
    seen: set[str] = set()
    for i in rng.permutation(len(combos)):
        product, values = combos[i]
        # By content, not by draw: two products may share attributes and options,
        # and their goals must then land in the same split.
        split = "test" if _bucket(product, values) == 0 else "train"
        for _ in range(2 if split == "train" else 1):
            goal = _goal(product, dict(zip(product.options, values, strict=True)), rng)
            instruction = instruction_of(goal)
            if instruction in seen:
                continue
            seen.add(instruction)
            id = f"{split}/{len(tasks[split]):04d}"
            tasks[split].append(Task("shop", id, instruction, goal))
    return tasks


def _bucket(product: Product, values: Sequence[str]) -> int:
    key = f"{product.query} {' '.join(values)}"
    return sum(ord(c) * (i + 7) for i, c in enumerate(key)) % 4


def _goal(product: Product, options: Mapping[str, str], rng: np.random.Generator) -> dict[str, Any]:
    words = [w for w in product.title.split() if w in product.attributes]
    wanted = [[words[0]], [words[1]], words][int(rng.integers(3))]
    limit = product.price + float(rng.choice([0, 5, 10, 20]))
    return {
        "query": product.query,
        "category": list(product.category),
        "nouns": sorted(product.nouns),
        "attributes": wanted,
        "options": dict(options),
        "price_upper": limit,
    }


def instruction_of(goal: Mapping[str, Any]) -> str:
    """The sentence a shopper says for a goal."""
    options = " and ".join(f"{name} {value}" for name, value in goal["options"].items())
    what = " ".join([*goal["attributes"], goal["query"]])
    return f"find a {what} with {options} for at most ${goal['price_upper']:g}"


class Search:
    """Ranks products for a query by BM25 over title words (k1 0.9, b 0.4 as upstream).

    Ties are broken by product id.  Products that share no word with the
    query are not results.
    """

    def __init__(self, products: Sequence[Product], limit: int = 50) -> None:
        self.products, self.limit = list(products), limit
        self.bags = [Counter(p.title.lower().split()) for p in products]
        lengths = [sum(bag.values()) for bag in self.bags]
        mean = sum(lengths) / len(lengths)
        self.norms = [0.9 * (1 - 0.4 + 0.4 * n / mean) for n in lengths]
        df = Counter(word for bag in self.bags for word in bag)
        n = len(products)
        self.idf = {w: math.log(1 + (n - d + 0.5) / (d + 0.5)) for w, d in df.items()}

    def __call__(self, query: str) -> list[Product]:
        """The products that match `query`, best first, at most `limit`."""
        words = [w for w in query.lower().split() if w in self.idf]
        scored = []
        for product, bag, norm in zip(self.products, self.bags, self.norms, strict=True):
            score = sum(self.idf[w] * bag[w] * 1.9 / (bag[w] + norm) for w in words if bag[w])
            if score > 0:
                scored.append((-score, product.id, product))
        return [p for _, _, p in sorted(scored, key=lambda x: x[:2])[: self.limit]]


@dataclass(frozen=True)
class Verdict:
    """How a purchase meets a goal, term by term (WebShop's breakdown).

    Attributes:
        type: r_type in [0, 1].
        attributes: wanted attribute → met.
        options: wanted option → met.
        price: the price is within the limit.
        score: WebShop's reward in [0, 1]; success means 1.
    """

    type: float
    attributes: Mapping[str, bool]
    options: Mapping[str, bool]
    price: bool
    score: float


def type_reward(product: Product, goal: Mapping[str, Any]) -> float:
    """WebShop's type term: whether the product is of the kind that was wanted.

    It is 1 when the kind (query) or two parts of the category path agree, or
    more than 0.2 of the goal's nouns are in the title; it falls to 0.5 without
    any of these, to 0.1 where fewer than a tenth of the nouns agree, and to 0
    where none does.
    """
    nouns = goal["nouns"]
    share = len(set(nouns) & product.nouns) / len(nouns) if nouns else 0.2
    related = (
        product.query == goal["query"]
        or len(set(product.category) & set(goal["category"])) >= 2
        or share > 0.2
    )
    return 0.0 if share == 0 else 0.1 if share < 0.1 else 1.0 if related else 0.5


def judge(product: Product, chosen: Mapping[str, str], goal: Mapping[str, Any]) -> Verdict:
    """WebShop's reward rule: ``r_type · (#attributes + #options + price) / (all of them)``."""
    r_type = type_reward(product, goal)
    attributes = {a: a in product.attributes for a in goal["attributes"]}
    options = {f"{n} {v}": chosen.get(n) == v for n, v in goal["options"].items()}
    price = product.price <= goal["price_upper"]
    met = sum(attributes.values()) + sum(options.values()) + price
    return Verdict(
        type=r_type,
        attributes=attributes,
        options=options,
        price=price,
        score=r_type * met / (len(attributes) + len(options) + 1),
    )
