"""WebShop's files: its products, cleaned as its simulator cleans them, and its goals.

A folder holds what WebShop's ``setup.sh -d small`` (or ``all``) downloads, as
plain JSON or xz: the products, their attributes with the instructions made
from them, and the instructions that people wrote.

The simulator draws two things at random: a price for each product that has a
price range, and the price limit of each goal.  Both come from Python's
generator, here from one that starts at `seed`; the recorded runs of the real
simulator in the tests have seed 0.  The goals are then shuffled with seed 233.
"""

from __future__ import annotations

import itertools
import json
import lzma
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.catalogue import Product
from dreamgym_nb.worlds.webshop_reward import title_nouns

GoalKind = Literal["synthetic", "human"]
Nouns = Callable[[str], Sequence[str]]

PRODUCTS = ("items_shuffle_1000.json", "items_slim_1000.json", "items_shuffle.json")
ATTRIBUTES = ("items_ins_v2_1000.json", "items_ins_v2.json")
HUMAN = ("items_human_ins.json", "items_human_ins_1000.json")
UPSTREAM = "https://github.com/princeton-nlp/WebShop"

SHUFFLE_SEED = 233
LIMITS = [10.0 * i for i in range(1, 100)]  # what a price limit can be
NO_LIMIT = 1_000_000
TEXT_CHARS = 600  # of a description or of all features, in the abstract state only


@dataclass(frozen=True)
class WebShopProduct(Product):
    """A product with what WebShop's pages and its reward rule need besides.

    Attributes:
        tag: the price as pages show it, a range where there is one; `price`
            is then a draw from the range, which no page shows.
        department: WebShop's ``category`` ("garden"), for the search mode ``<c>``.
        path: WebShop's ``product_category``, whose parts are `category`.
        description: the whole text.
        bullets: the features, whole.
        attribute_list: the attributes in WebShop's order.
    """

    tag: str = ""
    department: str = ""
    path: str = ""
    description: str = ""
    bullets: tuple[str, ...] = ()
    attribute_list: tuple[str, ...] = ()

    @property
    def price_tag(self) -> str:
        """The price as pages show it."""
        return self.tag

    @cached_property
    def lowered(self) -> tuple[str, str, str]:
        """Title, features and description in lower case, where attributes are looked for."""
        return self.title.lower(), " ".join(self.bullets).lower(), self.description.lower()


def read_products(
    folder: Path, rng: random.Random, nouns: Nouns = title_nouns, show_attributes: bool = False
) -> list[WebShopProduct]:
    """The products of a folder, in WebShop's order.

    Args:
        folder: where the files are.
        rng: draws the price of each product that has a range.
        nouns: the nouns of a title, for the type term of the reward.
        show_attributes: whether items have the page ``attributes`` (the
            simulator's ``show_attrs``).

    Raises:
        UserError: a file is missing.
    """
    about = read_json(folder, ATTRIBUTES)
    products: dict[str, WebShopProduct] = {}
    for item in read_json(folder, PRODUCTS):
        asin = item["asin"]
        if asin != "nan" and len(asin) <= 10 and asin not in products:
            product = _product(item, about.get(asin, {}), rng, nouns)
            if show_attributes:
                more = {"attributes": _cut([", ".join(product.attribute_list)])}
                product = replace(product, texts={**product.texts, **more})
            products[asin] = product
    return list(products.values())


def _product(
    item: Mapping[str, Any], about: Mapping[str, Any], rng: random.Random, nouns: Nouns
) -> WebShopProduct:
    prices = [float(re.sub(r"[^\d.]", "", x)) for x in (item.get("pricing") or "").split("$")[1:]]
    prices = prices[:2] or [100.0]
    options = {
        name.lower(): tuple(v["value"].strip().replace("/", " | ").lower() for v in values)
        for name, values in (item["customization_options"] or {}).items()
        if values is not None
    }
    attributes = tuple(about.get("attributes", ["DUMMY_ATTR"]))
    bullets = item["small_description"]
    bullets = tuple(bullets) if isinstance(bullets, list) else (bullets,)
    return WebShopProduct(
        id=item["asin"],
        title=item["name"],
        price=prices[0] if len(prices) == 1 else rng.uniform(*prices),
        options=options,
        query=item["query"].lower().strip(),
        category=category_path(item["product_category"]),
        nouns=frozenset(nouns(item["name"])),
        attributes=frozenset(attributes),
        texts={
            "description": _cut([item["full_description"]]),
            "features": _cut(bullets),
            "reviews": _cut([]),  # the simulator has none
        },
        tag=" to ".join(f"${price}" for price in prices),
        department=item["category"],
        path=item["product_category"],
        description=item["full_description"],
        bullets=bullets,
        attribute_list=attributes,
    )


def category_path(text: str) -> tuple[str, ...]:
    """The parts of a category path, most general part first."""
    return tuple(part.strip() for part in text.split("›"))


def _cut(texts: Sequence[str]) -> str:
    """Texts as lines of an abstract page, `TEXT_CHARS` characters of them at most."""
    lines, left = [], TEXT_CHARS
    for text in texts:
        line = " ".join(text.split())
        if line and left > 0:
            lines.append(f"- {line}" if len(line) <= left else f"- {line[:left].rstrip()} …")
            left -= len(line)
    return "\n".join(lines) or "- nothing"


def read_goals(
    folder: Path, products: Sequence[WebShopProduct], kind: GoalKind, rng: random.Random
) -> list[dict[str, Any]]:
    """WebShop's goals in the simulator's order and with its keys.

    Args:
        folder: where the files are.
        products: the products of `read_products`.
        kind: ``"synthetic"`` (an instruction made from a product, with every
            combination of its options) or ``"human"`` (what people wrote).
        rng: the one that drew the products' prices; draws the price limits.

    Returns:
        The goals; their index is the simulator's session number.

    Raises:
        UserError: a file is missing, or there is no such kind of goals.
    """
    if kind == "synthetic":
        goals = _synthetic(read_json(folder, ATTRIBUTES), products, rng)
    elif kind == "human":
        goals = _human(read_json(folder, HUMAN), products, rng)
    else:
        raise UserError(f"Goals are 'synthetic' or 'human', not {kind!r}.")
    random.Random(SHUFFLE_SEED).shuffle(goals)
    return goals


def _synthetic(
    about: Mapping[str, Any], products: Sequence[WebShopProduct], rng: random.Random
) -> list[dict[str, Any]]:
    goals = []
    for product in products:
        words = about.get(product.id, {})
        if words.get("instruction") is None:
            continue
        limit, limit_text = _limit(product.price, rng)
        names = sorted(product.options)
        for values in itertools.product(*(product.options[name] for name in names)):
            options = dict(zip(names, values, strict=True))
            wish = ", and ".join(f"{name}: {value}" for name, value in options.items())
            text = words["instruction"] + (f" with {wish}" if wish else "") + limit_text
            goals.append(_goal(product, text, words["instruction_attributes"], limit, options))
    count = Counter(a for goal in goals for a in goal["attributes"])
    for goal in goals:
        wanted = goal["attributes"]
        goal["weight"] = sum(1.0 / count[a] for a in wanted) / len(wanted)
    return goals


def _human(
    wishes: Mapping[str, Any], products: Sequence[WebShopProduct], rng: random.Random
) -> list[dict[str, Any]]:
    goals = []
    for product in products:
        for wish in wishes.get(product.id, ()):
            attributes = wish["instruction_attributes"]
            if attributes:
                limit, limit_text = _limit(product.price, rng)
                text = wish["instruction"].strip(".") + limit_text
                options = wish["instruction_options"]
                goals.append({**_goal(product, text, attributes, limit, options), "weight": 1})
    return goals


def _limit(price: float, rng: random.Random) -> tuple[float, str]:
    """A price limit above `price`, and how an instruction says it."""
    above = [limit for limit in LIMITS if limit > price][:4]
    if len(above) < 2:
        return NO_LIMIT, ""
    limit = max(rng.sample(above, 2))
    return limit, f", and price lower than {limit:.2f} dollars"


def _goal(
    product: WebShopProduct, text: str, attributes: list[str], limit: float, options: Any
) -> dict[str, Any]:
    return {
        "asin": product.id,
        "category": product.department,
        "query": product.query,
        "name": product.title,
        "product_category": product.path,
        "instruction_text": text,
        "attributes": attributes,
        "price_upper": limit,
        "goal_options": options,
    }


def make_tasks(
    goals: Sequence[Mapping[str, Any]], nouns: Nouns = title_nouns
) -> dict[str, list[Task]]:
    """The goals as tasks, split as WebShop splits them.

    By the index of a goal in the simulator's order, which is also the number
    in the id of its task: 0 to 499 test, 500 to 1499 validation, the rest
    train.  Fewer goals than 2,000 (the people's of the small data) are split
    in a quarter, a quarter and the rest.  A few goals are there twice, as a
    product may list an option twice; a copy of a goal of an earlier split is
    left out.  As upstream, goals that differ in an option of one product
    may lie in different splits.

    Args:
        goals: from `read_goals`.
        nouns: the nouns of a title, in the order and number that the rule counts.

    Returns:
        Tasks by split: ``"test"``, ``"validation"`` and ``"train"``.
    """
    first, second = (500, 1500) if len(goals) >= 2000 else (len(goals) // 4, len(goals) // 2)
    tasks: dict[str, list[Task]] = {"test": [], "validation": [], "train": []}
    seen: dict[str, str] = {}
    nouns_of: dict[str, list[str]] = {}  # one list for all goals of a product
    for index, goal in enumerate(goals):
        split = "test" if index < first else "validation" if index < second else "train"
        text, name = goal["instruction_text"], goal["name"]
        if seen.setdefault(text, split) == split:
            if name not in nouns_of:
                nouns_of[name] = list(nouns(name))
            tasks[split].append(
                Task("webshop", f"{split}/{index:04d}", text, as_goal(goal, nouns_of[name]))
            )
    return tasks


def as_goal(goal: Mapping[str, Any], nouns: list[str]) -> dict[str, Any]:
    """A goal of the simulator as the goal of a task, with the nouns of its title."""
    return {
        "asin": goal["asin"],
        "query": goal["query"],
        "category": list(category_path(goal["product_category"])),
        "nouns": nouns,
        "attributes": goal["attributes"],
        "options": goal["goal_options"],
        "price_upper": goal["price_upper"],
    }


def read_json(folder: Path, names: Sequence[str]) -> Any:
    """The first of some files that a folder has, plain or as ``.xz``.

    Raises:
        UserError: it has none of them, or the file is damaged.
    """
    for name, opened in itertools.product(names, (("", open), (".xz", lzma.open))):
        path = folder / f"{name}{opened[0]}"
        if path.is_file():
            try:
                with opened[1](path, "rt", encoding="utf-8") as f:
                    return json.load(f)
            except (json.JSONDecodeError, UnicodeDecodeError, lzma.LZMAError, EOFError) as e:
                raise UserError(f"{path} is damaged ({e}). Download it again.") from e
    raise UserError(
        f"{folder} has no {names[0]}. Get WebShop's data as {UPSTREAM} says (./setup.sh -d small "
        "puts it into its folder data) and give that folder, or set DREAMGYM_DATA to a folder "
        "with it in a folder webshop."
    )
