"""WebShop's pages as its text mode gives them, and what can be clicked on them.

Upstream fills HTML templates and strips the tags again (``observation_mode=
"text"``); what is left of a page is its pieces of text, joined by ``[SEP]``.
These functions write the same text directly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dreamgym_nb.worlds.webshop_data import WebShopProduct

SEP = " [SEP] "
_BLANK = " \t\n\f\r"
_IN_SCRIPT = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&'"})  # as Jinja's tojson


def page(*texts: str) -> str:
    """A page made of pieces of text.

    A piece without text is no piece, nor is one of blanks with a line break
    among them; other blanks leave an empty piece (BeautifulSoup's rule).
    """
    kept = [t for t in texts if t.strip(_BLANK) or (t and "\n" not in t)]
    return SEP.join(t.strip() for t in kept)


def search_page(instruction: str) -> str:
    """The page with the search bar."""
    return page("WebShop", "Instruction:", instruction, "Search")


def results_page(
    instruction: str, number: int, total: int, products: Sequence[WebShopProduct]
) -> str:
    """A page of results; ``Next >`` is always there, also on the last page and past it."""
    buttons = ["< Prev", "Next >"] if number > 1 else ["Next >"]
    rows = [text for p in products for text in (p.id, p.title, p.price_tag)]
    head = f"Page {number} (Total results: {total})"
    return page("Instruction:", instruction, "Back to Search", head, *buttons, *rows)


def item_page(instruction: str, product: WebShopProduct) -> str:
    """A product with its options; which are chosen cannot be seen."""
    options = [text for name, values in product.options.items() for text in (name, *values)]
    about = [product.title, f"Price: {product.price_tag}", "Rating: N.A."]
    return page(*_top(instruction), *options, *about, *map(str.title, product.texts), "Buy Now")


def text_page(instruction: str, product: WebShopProduct, name: str) -> str:
    """A page of text behind an item: description, features, reviews or attributes."""
    texts = {
        "description": [product.description],
        "features": [f" {bullet}" for bullet in product.bullets],
        "reviews": [],
        "attributes": [
            *(f" {attribute}" for attribute in product.attribute_list),
            *(product.department, product.query, product.path),
        ],
    }
    return page(*_top(instruction), *texts[name])


def done_page(asin: str, chosen: Mapping[str, str], score: float) -> str:
    """The page after a purchase; most of its fields are empty in the simulator."""
    options = json.dumps(dict(chosen), sort_keys=True).translate(_IN_SCRIPT)
    thanks = ("Thank you for shopping with us!", "Your code:", "None")
    bought = ("Purchased", "asin", asin, "options", options, "attrs", "None", "category", "None")
    bought += ("query", "None", "product category", "None")
    target = ("Target", "asin", "options", "attrs", "price upper", "instuction text", "category")
    target += ("product category", "query", "Goal", "None")
    score_text = ("Reward", "Your score (min 0.0, max 1.0)", str(score), "Reward Details", "None")
    return page(*thanks, "(Paste it in your MTurk interface.)", *bought, *target, *score_text)


def _top(instruction: str) -> tuple[str, ...]:
    return "Instruction:", instruction, "Back to Search", "< Prev"
