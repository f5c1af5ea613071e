"""A small shop written by hand, of which tests know every product and task."""

from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.catalogue import Product
from dreamgym_nb.worlds.shop import Shop

GOAL = {
    "query": "mug",
    "category": ["all", "mug"],
    "nouns": ["mug"],
    "attributes": ["steel"],
    "options": {"color": "red", "size": "small"},
    "price_upper": 20.0,
}


def product(id, title="plain steel mug", price=20.0, query="mug", **more):
    """A product of a catalogue written by hand."""
    usual = {
        "options": {"color": ("red", "blue"), "size": ("small", "large")},
        "category": ("all", query),
        "nouns": frozenset({query}),
        "attributes": frozenset(title.split()[:-1]),
    }
    return Product(id=id, title=title, price=price, query=query, **{**usual, **more})


def written_shop(products=None, **options):
    """A shop written by hand: six steel mugs, one rug; one mug has pages of text."""
    if products is None:
        texts = {"description": "a mug for tea", "features": "it is made\nof steel"}
        products = [product("B1", texts=texts)] + [product(f"B{i}") for i in range(2, 7)]
        products.append(product("B7", "soft steel rug", query="rug", price=30.0))
    tasks = {
        "train": [Task("shop", "train/0", "find a steel mug", GOAL)],
        "test": [Task("shop", "test/0", "find a mug", {**GOAL, "attributes": []})],
    }
    return Shop(products=products, tasks=tasks, **{"page_size": 4, **options})
