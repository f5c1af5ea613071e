"""The shop: WebShop's task and grammar in miniature, with an exact engine.

Actions are ``search[words]`` and ``click[thing]``.  Pages are WebShop's:
a search page; results, a few on a page, with ``next >`` and ``< prev``; item
pages with options and ``buy now``.  Buying ends the episode; the reward is 1
when WebShop's rule (catalogue.judge) gives the full score, otherwise 0.

What an agent sees is an abstract listing.  Two events get one short line
instead of a whole page, an option that was chosen and an action that failed;
`fold` turns lines and pages into the abstract state, which adds what raw
pages do not show: the query, the chosen options, and the page one came from.

How options are written on a page, and read back from one, is in listing.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import shoppers
from dreamgym_nb.worlds.base import FAILURE, MAX_ACTION_CHARS, SPLITS, World, check_splits
from dreamgym_nb.worlds.catalogue import (
    OPTIONS,
    Product,
    Search,
    Verdict,
    generate_products,
    generate_tasks,
    judge,
)
from dreamgym_nb.worlds.listing import (
    BEHIND,
    CHOSEN,
    choose,
    clickables,
    each_once,
    entry,
    enumeration,
    is_word,
    option_line,
    read_chosen,
)
from dreamgym_nb.worlds.shoppers import BACK, BUY, NEXT, PREV

SEARCH_PAGE = "search page"
NOT_HERE = f"{FAILURE} that is not on this page"
NO_ACTION = f"{FAILURE} an action is search[words] or click[thing]"
QUERY_WORDS = 8  # a longer query is cut, as search boxes do

_ACTION = re.compile(r"(search|click)\[(.*)\]", re.DOTALL)


def parse_action(action: str) -> tuple[str, str] | None:
    """Split ``verb[thing]``; None for anything else.

    Case and outer blanks do not matter, as upstream.
    """
    match = _ACTION.fullmatch(action.strip().lower())
    if match is None or len(action) > MAX_ACTION_CHARS:
        return None
    thing = " ".join(match[2].split())
    return (match[1], thing) if thing else None


class Shop(World):
    """The shop world.

    Args:
        seed: which generated catalogue; tasks follow from it.
        products: a catalogue from elsewhere instead of the generated one.
        tasks: its tasks by split; needed with `products`.
        page_size: results on a page (WebShop has 10).
        max_steps: step limit.

    Raises:
        UserError: products without tasks, or tasks in two splits.
    """

    name = "shop"
    query_words: int | None = QUERY_WORDS

    def __init__(
        self,
        seed: int = 0,
        products: Sequence[Product] | None = None,
        tasks: Mapping[str, Sequence[Task]] | None = None,
        page_size: int = 4,
        max_steps: int = 10,
    ) -> None:
        super().__init__()
        if (products is None) != (tasks is None):
            raise UserError("Give products and tasks together, or neither.")
        self.products = list(products) if products is not None else generate_products(seed)
        self._tasks = dict(tasks) if tasks is not None else generate_tasks(self.products, seed)
        check_splits(self._tasks)
        self.by_id = {p.id.lower(): p for p in self.products}
        self.search: Callable[[str], list[Product]] = Search(self.products)
        self.page_size, self.max_steps = page_size, max_steps
        options = [o for p in self.products for o in p.options.items()]
        self._wide = not all(is_word(x) for name, values in options for x in (name, *values))
        self._visited: list[str] = []

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``"train"`` or ``"test"``; no (kind, options) is in both."""
        if split not in self._tasks:
            raise UserError(f"There is no split {split!r}; the splits are {SPLITS}.")
        return self._tasks[split]

    # ---- what another shop may do in its own way, see webshop.py ----

    def parse(self, action: str) -> tuple[str, str] | None:
        """The verb and the thing of an action; None for anything else."""
        return parse_action(action)

    def judge(
        self, product: Product, chosen: Mapping[str, str], goal: Mapping[str, Any]
    ) -> Verdict:
        """The reward rule: what buying `product` with these options is worth for a goal."""
        return judge(product, chosen, goal)

    def wanted(self, product: Product | None = None) -> dict[str, str]:
        """What the present goal asks to choose, on `product` or anywhere: name to value."""
        return dict(self.task.goal["options"])

    def queries(self) -> list[str]:
        """What to search for the present goal, in the order in which an expert tries it."""
        words = [*self.task.goal["attributes"], self.task.goal["query"]]
        return [" ".join(w) for w in (words, words, words[-2:], words[-1:])]

    def option_values(self) -> list[str]:
        """Values of options that a shopper may think of."""
        return [v for values in OPTIONS.values() for v in values]

    def _find(self, words: str) -> list[Product]:
        return self.search(self._query)

    # ---- the engine: where one is (page, query, item, options) and its pages ----

    def _begin(self, task: Task) -> str:
        self._query, self._page, self._item = "", 0, None
        self._results: list[Product] = []
        self._chosen: dict[str, str] = {}
        self._text: str | None = None
        self._visited, self._queries = [], []
        return SEARCH_PAGE

    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        parsed = self.parse(action)
        if parsed is None:
            return NO_ACTION, 0.0, False, {}
        verb, thing = parsed
        if verb == "search":
            return self._search(thing), 0.0, False, {}
        if thing not in self._clickables():
            return NOT_HERE, 0.0, False, {}
        if thing == BUY:
            verdict = self.judge(self._item, self._chosen, self.task.goal)
            success = verdict.score >= 1.0
            info = {"score": verdict.score, "verdict": verdict}
            return f"you bought {self._item.id}", float(success), True, info
        return self._click(thing), 0.0, False, {}

    def _cut(self, words: str) -> str:
        return " ".join(words.split()[: self.query_words])

    def _search(self, words: str) -> str:
        self._query = self._cut(words)
        self._queries.append(self._query)
        self._results, self._page = self._find(words), 1
        self._item = self._text = None
        return self._results_page()

    def _click(self, thing: str) -> str:
        if thing in self._buttons():
            return self._press(thing)
        if self._item is None:
            self._item, self._chosen = self.by_id[thing], {}
            self._visited.append(thing)
            return self._item_page()
        # Where two options share a value the last one is meant, as upstream.
        name = [name for name, values in self._item.options.items() if thing in values][-1]
        self._chosen[name] = thing
        return f"{CHOSEN}{entry(name, thing, self._wide)}"

    def _press(self, thing: str) -> str:
        if thing == BACK:
            self._query, self._page, self._item, self._text = "", 0, None, None
            return SEARCH_PAGE
        if self._item is None:
            self._page += 1 if thing == NEXT else -1
            return self._results_page()
        if thing == PREV and self._text is None:
            self._item = None
            return self._results_page()
        if thing == PREV:
            self._text = None
            return self._item_page()
        self._text = thing
        buttons = " | ".join(self._buttons())
        return "\n".join([f"{thing} of {self._item.id}", dict(self._item.texts)[thing], buttons])

    def _pages(self) -> int:
        return max(1, -(-len(self._results) // self.page_size))

    def _rows(self) -> list[Product]:
        first = (self._page - 1) * self.page_size
        return self._results[first : first + self.page_size]

    def _buttons(self) -> list[str]:
        if self._item is None and self._page == 0:
            return []
        if self._item is None:
            prev, next_ = self._page > 1, self._page < self._pages()
            return [BACK] + [PREV] * prev + [NEXT] * next_
        if self._text is not None:
            return [PREV]
        return [BACK, PREV, *dict(self._item.texts), BUY]

    def _clickables(self) -> list[str]:
        if self._item is None:
            things = [p.id.lower() for p in (self._rows() if self._page else ())]
        elif self._text is not None:
            things = []
        else:
            things = [v for values in self._item.options.values() for v in values]
        return each_once(self._buttons() + things)

    def _results_page(self) -> str:
        rows = [p.row for p in self._rows()]
        head = f"page {self._page} of {self._pages()}"
        return "\n".join([head, *(rows or ["no results"]), " | ".join(self._buttons())])

    def _item_page(self) -> str:
        item = self._item
        options = [option_line(name, values, self._wide) for name, values in item.options.items()]
        return "\n".join([f"item {item.row}", *options, " | ".join(self._buttons())])

    def admissible_actions(self) -> list[str]:
        """Clicks that work now; on the search page also ``search[words]``."""
        search = ["search[words]"] if self._page == 0 else []
        return search + [f"click[{thing}]" for thing in self._clickables()]

    # ---- the abstract state -----------------------------------------------------

    def fold(self, state: str, action: str, observation: str) -> str:
        """Abstract state: the page, the query, the chosen options and the page behind.

        A failure changes nothing; ``chosen NAME VALUE`` replaces that option's
        entry; a page takes the place of the page.
        """
        if observation.startswith(FAILURE):
            return state
        if observation.startswith(CHOSEN):
            return choose(state, observation)
        if observation.startswith("page "):
            parsed = self.parse(action)
            if parsed and parsed[0] == "search":
                query = self._cut(parsed[1])
            else:  # another page of the same results, or the way back to them
                found = re.findall(r"^results for (.*)", state, re.MULTILINE)
                query = found[-1] if found else ""
            return f"results for {query}\n{observation}"
        if observation.startswith("item "):
            if state.startswith("item ") or BEHIND not in state:
                behind = state
            else:  # back from a text page: the item page lay behind it
                return state.split(BEHIND, 1)[1]
            return f"{observation}\n{CHOSEN}nothing{BEHIND}{behind}"
        if " of " in observation.split("\n")[0] and state.startswith("item "):
            return f"{observation}{BEHIND}{state}"
        return observation

    # ---- the teacher ------------------------------------------------------------

    def teacher(self, task: Task, state: str, action: str) -> str:
        """Trace R*: is the thing on the page, and for a purchase wanted against got."""
        parsed = self.parse(action)
        if parsed is None:
            return "this is no action"
        verb, thing = parsed
        if verb == "search":
            return "the shop lists what matches the words"
        head, _, _ = state.partition(BEHIND)
        offered = clickables(head)
        # First what there is, then whether the thing is among it: a model that
        # has to list the page before it judges is not led astray by a memory.
        page = f"the page offers {enumeration(offered, self._wide) or 'nothing'}"
        if thing not in offered:
            return f"{page}\n{thing} is not there"
        if thing == BUY:
            return self._explain_purchase(task, head)
        return f"{page}\n{thing} is there"

    def _explain_purchase(self, task: Task, head: str) -> str:
        product = self.by_id[head.split()[1].lower()]
        chosen = read_chosen(head)
        verdict = self.judge(product, chosen, task.goal)
        lines = [f"wanted {task.goal['query']} got {product.query}{_mark(verdict.type == 1.0)}"]
        traits = " ".join(w for w in product.title.split() if w in product.attributes)
        for attribute, met in verdict.attributes.items():
            lines.append(f"wanted {attribute} got {traits}{_mark(met)}")
        for name, value in task.goal["options"].items():
            got = chosen.get(name, "nothing")
            lines.append(f"wanted {name} {value} got {got}{_mark(got == value)}")
        limit = f"${task.goal['price_upper']:g}"
        lines.append(f"wanted at most {limit} got ${product.price:g}{_mark(verdict.price)}")
        return "\n".join(lines)

    # ---- the behaviours of the offline log ---------------------------------------

    @property
    def behaviours(self) -> Mapping[str, float]:
        """Shares of a log of mixed quality, see `shoppers`."""
        return shoppers.SHARES

    def act(self, behaviour: str, rng: np.random.Generator) -> str:
        """The next action of a behaviour in the present episode, see `shoppers`."""
        return shoppers.act(self, behaviour, rng)


def _mark(met: bool) -> str:
    return " yes" if met else " no"


__all__ = ["Shop", "Verdict", "clickables", "parse_action", "read_chosen"]
