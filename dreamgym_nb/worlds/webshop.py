"""WebShop: the shop's engine on WebShop's products, goals, pages and reward rule.

    world = load_shop("WebShop/data")

An agent sees the shop's abstract listing, as in the generated shop.  The page
that WebShop's own text mode would show stands in ``info["raw"]``, and what
could be clicked there in ``info["raw_clickables"]``: both agree with the real
simulator step by step.  The reward is 1 where the simulator's is 1, otherwise
0; the simulator's own, between 0 and 1, is ``info["score"]`` after a purchase.

What WebShop does in its own way, and the generated shop does not:

* an action is ``search[...]`` or ``click[...]`` from its first letter on;
  what follows the last bracket of that line is ignored; only the thing may be
  in capitals, and its blanks count;
* ``next >`` is on every page of results, on the last one and past it too;
* from a page of text one can also go back to the search;
* a query is not cut; ``<q>`` and ``<c>`` search by kind and by department.

One corner is left out: upstream tells a page by its address, and takes an item
for a page of results where the query holds the word ``search_results``.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gymnasium.spaces import Text

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import webshop_pages as pages
from dreamgym_nb.worlds import webshop_reward as rule
from dreamgym_nb.worlds.base import PRINTABLE, SPLITS
from dreamgym_nb.worlds.catalogue import Verdict
from dreamgym_nb.worlds.listing import read_chosen
from dreamgym_nb.worlds.shop import BACK, NEXT, PREV, Shop
from dreamgym_nb.worlds.webshop_data import (
    NO_LIMIT,
    GoalKind,
    Nouns,
    WebShopProduct,
    make_tasks,
    read_goals,
    read_products,
)
from dreamgym_nb.worlds.webshop_search import WebShopSearch

MAX_ACTION_CHARS = 2000
MAX_PAGE_CHARS = 50_000

_ACTION = re.compile(r"(.+)\[(.+)\]")


def load_shop(
    folder: str | os.PathLike[str] | None = None,
    goals: GoalKind = "synthetic",
    seed: int = 0,
    nouns: Nouns = rule.title_nouns,
    show_attributes: bool = False,
    **options: Any,
) -> WebShop:
    """WebShop from the files of a WebShop download.

    Args:
        folder: its folder ``data``; by default ``webshop`` in the folder that
            the environment variable DREAMGYM_DATA names.
        goals: ``"synthetic"`` (6,910 of them for 1,000 products) or ``"human"``.
        seed: draws prices from price ranges, and the price limits of goals.
        nouns: the nouns of a title; see `webshop_reward.title_nouns`.
        show_attributes: whether items have the page ``attributes`` (the
            simulator's ``show_attrs``).
        options: of `WebShop`, such as ``max_steps``.

    Raises:
        UserError: no folder is known, or a file is missing or damaged.
    """
    if folder is None:
        if not os.environ.get("DREAMGYM_DATA"):
            raise UserError(
                "Say where WebShop's data is: load_shop('WebShop/data'), or set DREAMGYM_DATA to "
                "a folder with the files in its folder webshop. ./setup.sh -d small of "
                "https://github.com/princeton-nlp/WebShop gets them."
            )
        folder = Path(os.environ["DREAMGYM_DATA"]) / "webshop"
    folder, rng = Path(folder).expanduser(), random.Random(seed)
    products = read_products(folder, rng, nouns, show_attributes)
    tasks = make_tasks(read_goals(folder, products, goals, rng), nouns)
    return WebShop(products, tasks, **options)


class WebShop(Shop):
    """The shop world with WebShop's rules.

    Args:
        products: WebShop's products.
        tasks: tasks by split, ``"test"`` and ``"train"``; ``"validation"`` may
            be there too.
        max_steps: step limit; the simulator has none, most papers take 15.
        rank: words to the ids of the results, best first, instead of the
            built-in search.

    Raises:
        UserError: a split is missing, or a task is in two of them.
    """

    name = "webshop"
    query_words = None

    def __init__(
        self,
        products: Sequence[WebShopProduct],
        tasks: Mapping[str, Sequence[Task]],
        max_steps: int = 15,
        rank: Callable[[str], Iterable[str]] | None = None,
    ) -> None:
        own = {split: tasks[split] for split in tasks if split != "validation"}
        super().__init__(products=products, tasks=own, page_size=10, max_steps=max_steps)
        self._validation = list(tasks.get("validation", ()))
        self.search = WebShopSearch(self.products, rank)
        self._wide = True
        self._values = sorted({v for p in products for vs in p.options.values() for v in vs})
        letters = set(PRINTABLE).union(*self._values)
        for product in products:
            letters.update(product.title, *product.texts.values(), *product.options)
        self.action_space = Text(MAX_ACTION_CHARS, min_length=0, charset=frozenset(letters))
        self.observation_space = Text(MAX_PAGE_CHARS, min_length=1, charset=frozenset(letters))

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``"train"``, ``"test"`` or ``"validation"``."""
        if split not in (*SPLITS, "validation"):
            raise UserError(f"There is no split {split!r}; the splits are {SPLITS}, validation.")
        return self._validation if split == "validation" else super().tasks(split)

    def task_by_id(self, id: str) -> Task:
        """The task of that id, of any split.

        Raises:
            UserError: no split has it.
        """
        return next((t for t in self._validation if t.id == id), None) or super().task_by_id(id)

    # ---- the page of the real simulator ---------------------------------------------

    def page(self) -> str:
        """The present page as WebShop's text mode shows it, which is what `raw` holds."""
        instruction = self.task.instruction
        if self._score is not None:
            return pages.done_page(self._item.id, self._chosen, self._score)
        if self._item is not None and self._text is not None:
            return pages.text_page(instruction, self._item, self._text)
        if self._item is not None:
            return pages.item_page(instruction, self._item)
        if self._page == 0:
            return pages.search_page(instruction)
        total = len(self._results)
        return pages.results_page(instruction, self._page, total, self._rows())

    def page_clickables(self) -> list[str]:
        """What the simulator lists as clickable (``search`` is listed, but cannot be clicked)."""
        if self._score is not None:
            return []
        return ["search"] if self._item is None and self._page == 0 else self._clickables()

    def _info(self, *, success: bool, failed: bool) -> dict[str, Any]:
        info = super()._info(success=success, failed=failed)
        return {**info, "raw_clickables": self.page_clickables()}

    # ---- what the engine does in WebShop's way --------------------------------------

    def parse(self, action: str) -> tuple[str, str] | None:
        """The verb and the thing of an action, by WebShop's grammar."""
        # The length first: of a long text of brackets the grammar would take long to make sense.
        match = _ACTION.match(action) if len(action) <= MAX_ACTION_CHARS else None
        if match is None or match[1] not in ("search", "click"):
            return None
        return match[1], match[2].lower()

    def admissible_actions(self) -> list[str]:
        """Clicks that work now; on the search page also ``search[words]``.

        What the grammar cannot say is left out: a value with a bracket or a
        line break in it can be seen and never be clicked.
        """
        actions = super().admissible_actions()
        return [a for a in actions if self.parse(a) in (("click", a[6:-1]), ("search", "words"))]

    def _begin(self, task: Task) -> str:
        self._score: float | None = None
        first = super()._begin(task)
        self.raw = self.page()
        return first

    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        observation, reward, terminated, info = super()._apply(action)
        self._score = info.get("score")
        self.raw = self.page()
        return observation, reward, terminated, info

    def _find(self, words: str) -> list[WebShopProduct]:
        return self.search(words)

    def _buttons(self) -> list[str]:
        if self._item is None and self._page > 0:
            return [BACK, PREV, NEXT] if self._page > 1 else [BACK, NEXT]
        return [BACK, PREV] if self._item and self._text is not None else super()._buttons()

    def judge(
        self, product: WebShopProduct, chosen: Mapping[str, str], goal: Mapping[str, Any]
    ) -> Verdict:
        """WebShop's reward rule, see `webshop_reward`."""
        return rule.judge(product, chosen, goal)

    def wanted(self, product: WebShopProduct | None = None) -> dict[str, str]:
        """What to choose on `product` to meet the present goal.

        A value that the product does not offer as it was asked for is replaced
        by the first one that the reward rule takes for it.
        """
        choices: dict[str, str] = {}
        for option in rule.options_of(self.task.goal):
            name, value = option if isinstance(option, tuple) else (option, option)
            choices.update(self._choice(product, option) or {name: value})
        return choices

    def _choice(
        self, product: WebShopProduct | None, option: str | tuple[str, str]
    ) -> dict[str, str]:
        if product is None:
            return {}
        asked = option if isinstance(option, tuple) else (None, option)
        offers = [(name, v) for name, values in product.options.items() for v in values]
        offers.sort(key=lambda offer: (offer != asked, offer[1] != asked[1], offer[0] != asked[0]))
        for name, value in offers:
            if rule.option_found({name: value}, option) is not None:
                return {name: value}
        return {}

    def queries(self) -> list[str]:
        """What an expert searches for: attributes, kind and options, then less of it."""
        kind, attributes = self.task.goal["query"], " ".join(self.task.goal["attributes"])
        options = " ".join(self.wanted().values()).replace("[", " ")
        less = [f"{attributes} {kind}", f"{kind} {options}", kind]
        return [" ".join(query.split()) for query in (f"{attributes} {kind} {options}", *less)]

    def option_values(self) -> list[str]:
        """Every value of an option in the catalogue."""
        return self._values

    # ---- the teacher ----------------------------------------------------------------

    def _explain_purchase(self, task: Task, head: str) -> str:
        goal, product = task.goal, self.by_id[head.split()[1].lower()]
        chosen = read_chosen(head)
        verdict = self.judge(product, chosen, goal)
        lines = [(goal["query"], product.query, verdict.type == 1.0)]
        for wanted in goal["attributes"]:
            found = rule.attribute_found(product, wanted)
            lines.append((wanted, found or "nothing like it", found is not None))
        for wanted in rule.options_of(goal):
            found = rule.option_found(chosen, wanted)
            got = found or ", ".join(chosen.values()) or "nothing"
            lines.append((rule.option_text(wanted), got, found is not None))
        limit = goal["price_upper"]
        wanted = "any price" if limit >= NO_LIMIT else f"at most ${limit:g}"
        lines.append((wanted, f"${product.price:.2f}", verdict.price))
        marks = {True: "yes", False: "no"}
        return "\n".join(f"wanted {w} got {got} {marks[met]}" for w, got, met in lines)
