"""The admin of a shop: orders, products, customers, reviews and a report."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dreamgym_nb.worlds.sites import words
from dreamgym_nb.worlds.sites.schema import (
    NONE,
    Box,
    Button,
    Change,
    Kind,
    Question,
    Records,
    Site,
    Visit,
)

ORDER_STATES = ("pending", "paid", "shipped", "cancelled")
GROUPS = ("new", "regular", "vip")


def _orders_of(records: Records, customer: str) -> str:
    return str(sum(o["customer"] == customer for o in records["orders"].values()))


def _spent(records: Records, customer: str) -> str:
    orders = [o for o in records["orders"].values() if o["customer"] == customer]
    return f"${sum(int(o['total'][1:]) for o in orders)}"


def _most(records: Records, field: str) -> str:
    """The commonest value of a field of the orders; ties go to the first in the alphabet."""
    counts = Counter(o[field] for o in records["orders"].values())
    return min(counts, key=lambda value: (-counts[value], value))


def _with_status(status: str):
    return lambda records, _: str(sum(o["status"] == status for o in records["orders"].values()))


def _least_stock(records: Records, _: str) -> str:
    return min(records["products"], key=lambda p: (int(records["products"][p]["stock"]), p))


KINDS = (
    Kind(
        "shop",
        "orders",
        "order {}",
        ("customer", "product", "status", "total", "day", "note"),
        links={"customer": "customers", "product": "products"},
        column="customer",
        buttons=tuple(Button(s, "status", s) for s in ORDER_STATES),
        boxes=(Box("note", "note"),),
    ),
    Kind(
        "shop",
        "products",
        "{}",
        ("category", "price", "stock", "rating", "state"),
        column="category",
        lists={"reviews": "product"},
        buttons=(Button("hide", "state", "hidden"), Button("show", "state", "visible")),
        boxes=(Box("price", "price", "dollars"), Box("stock", "stock", "number")),
    ),
    Kind(
        "shop",
        "customers",
        "{}",
        ("city", "group", "number of orders", "spent"),
        column="group",
        lists={"orders": "customer"},
        buttons=tuple(Button(g, "group", g) for g in GROUPS),
        computed={"number of orders": _orders_of, "spent": _spent},
    ),
    Kind(
        "shop",
        "reviews",
        "review {}",
        ("product", "author", "stars", "status", "reply"),
        links={"product": "products", "author": "customers"},
        column="product",
        buttons=(Button("approve", "status", "approved"), Button("reject", "status", "rejected")),
        boxes=(Box("reply", "reply"),),
    ),
    Kind(
        "shop",
        "report",
        "report",
        ("best customer", "best product", "least stock", "pending orders", "shipped orders"),
        links={
            "best customer": "customers",
            "best product": "products",
            "least stock": "products",
        },
        computed={
            "best customer": lambda records, _: _most(records, "customer"),
            "best product": lambda records, _: _most(records, "product"),
            "least stock": _least_stock,
            "pending orders": _with_status("pending"),
            "shipped orders": _with_status("shipped"),
        },
        single=True,
    ),
)


def fill(rng: np.random.Generator) -> Records:
    """Draw the contents: 20 orders, 14 products, 8 customers, 12 reviews."""
    goods = [(f"{c} {n}", k) for k, ns in words.GOODS.items() for n in ns for c in words.COLORS]
    goods = sorted(goods[int(i)] for i in rng.permutation(len(goods))[:14])
    customers = sorted(words.draw(rng, words.CUSTOMERS, 8))
    products = {
        name: {
            "category": category,
            "price": f"${5 * int(rng.integers(1, 20))}",
            "stock": str(int(rng.integers(0, 60))),
            "rating": str(int(rng.integers(1, 6))),
            "state": words.one(rng, ("visible", "visible", "hidden")),
        }
        for name, category in goods
    }
    names = list(products)
    orders = {
        key: {
            "customer": words.one(rng, customers),
            "product": words.one(rng, names),
            "status": words.one(rng, ORDER_STATES),
            "total": f"${5 * int(rng.integers(1, 20))}",
            "day": words.one(rng, words.DAYS),
            "note": NONE,
        }
        for key in words.numbers(rng, 20)
    }
    reviews = {
        key: {
            "product": words.one(rng, names),
            "author": words.one(rng, customers),
            "stars": str(int(rng.integers(1, 6))),
            "status": words.one(rng, ("new", "new", "approved", "rejected")),
            "reply": NONE,
        }
        for key in words.numbers(rng, 12)
    }
    people = {
        name: {"city": words.one(rng, words.CITIES), "group": words.one(rng, GROUPS)}
        for name in customers
    }
    return {
        "orders": orders,
        "products": products,
        "customers": people,
        "reviews": reviews,
        "report": {"report": {}},
    }


TEMPLATES = (
    Question("orders", "status", "what is the status of {}"),
    Question("orders", "total", "what is the total of {}"),
    Question("orders", "day", "on which day was {} placed"),
    Question("orders", "customer", "which customer placed {}"),
    Question("orders", "product", "which product is in {}"),
    Question("products", "price", "what is the price of {}"),
    Question("products", "stock", "what is the stock of {}"),
    Question("products", "rating", "what is the rating of {}"),
    Question("products", "category", "what is the category of {}"),
    Question("customers", "city", "in which city lives {}"),
    Question("customers", "number of orders", "what is the number of orders of {}"),
    Question("customers", "spent", "how much has {} spent"),
    Question("reviews", "stars", "how many stars has {}"),
    Question("reviews", "author", "who is the author of {}"),
    Question("report", "best customer", "who is the best customer"),
    Question("report", "best product", "what is the best product"),
    Question("report", "least stock", "which product has the least stock"),
    Question("report", "pending orders", "how many pending orders are there"),
    Question("customers", "city", "in which city lives the customer of {}", ("orders", "customer")),
    Question("products", "price", "what is the price of the product of {}", ("orders", "product")),
    Question("products", "stock", "what is the stock of the product of {}", ("reviews", "product")),
    Visit("orders", "go to the page of {}"),
    Visit("products", "go to the page of {}"),
    Visit("customers", "go to the page of {}"),
    Visit("reviews", "go to the page of {}"),
    Visit("report", "go to the {} of the shop"),
    Visit("customers", "go to the orders of {}", list="orders"),
    Visit("products", "go to the reviews of {}", list="reviews"),
    Visit("customers", "go to the page of the customer of {}", via=("orders", "customer")),
    Visit("products", "go to the page of the product of {}", via=("orders", "product")),
    Change("orders", "set the status of {} to {}", (("status", None),)),
    Change("orders", "add the note {1} to {0}", (("note", None),)),
    Change("products", "set the price of {} to {}", (("price", None),)),
    Change("products", "set the stock of {} to {}", (("stock", None),)),
    Change(
        "products",
        "set the price of {} to {} and the stock to {}",
        (("price", None), ("stock", None)),
    ),
    Change("products", "hide {}", (("state", "hidden"),)),
    Change("products", "show {}", (("state", "visible"),)),
    Change("customers", "move {} to the group {}", (("group", None),)),
    Change("reviews", "approve {}", (("status", "approved"),)),
    Change("reviews", "reject {}", (("status", "rejected"),)),
    Change("reviews", "reply {1} to {0}", (("reply", None),)),
)

SITE = Site("shop_admin", "shop", KINDS, fill, TEMPLATES)
