"""A few products of our own in WebShop's format, and the shop that they make."""

import json
import random

from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import webshop_reward as rule
from dreamgym_nb.worlds.webshop import WebShop
from dreamgym_nb.worlds.webshop_data import as_goal, read_goals, read_products


def item(asin, name, query, options=None, **more):
    """A product as WebShop's files hold it."""
    usual = {
        "full_description": "",
        "pricing": "$20.5",
        "images": [""],
        "product_category": "Home › Kitchen › Mugs",
        "small_description": [],
        "category": "home",
    }
    customization = {
        option: None if values is None else [{"value": v, "image": None} for v in values]
        for option, values in (options or {}).items()
    }
    return {
        "asin": asin,
        "name": name,
        "query": query,
        "customization_options": customization or "",
        **usual,
        **more,
    }


ITEMS = [
    item(
        "B000000001",
        "Hill & Dale Oat Biscuits, Gluten Free",
        " Biscuits ",
        {"Flavor Name": [" Plain ", "Salt/Pepper"], "Size": ["2 Count (Pack of 1)", '6" Tin']},
        full_description="Crisp oat biscuits,\nbaked <slowly>.",
        small_description=["Keeps for a year ", "", "Vegan & kosher"],
        product_category="Grocery › Snacks › Biscuits",
        category="grocery",
    ),
    item("B000000002", "Stoneware Mug with Lid", "mugs", {"Color": ["Navy Blue", "sand"]}),
    item("B000000003", "Tall Steel Mug", "mugs", {"Color": ["red"]}, pricing="$8.0$12.5"),
    item("B000000003", "A second B000000003", "mugs"),
    item("B0000000040", "An id that is too long", "mugs"),
    item("nan", "No id", "mugs"),
    item("B000000005", "Oak Table", "tables", {"Wood": None}, pricing="", product_category="Home"),
    item(
        "B000000006",
        "Wool Throw",
        "throws",
        {"Color": ["grey [new]", "grey\nold", "grey"], "Size": []},
        pricing="$1,250.00",
        small_description="One text, no list",
    ),
    *(item(f"B00000001{i}", f"Plain Mug No {i}", "mugs") for i in range(10)),
    *(item(f"B00000002{i}", f"Plain Mug No 2{i}", "mugs") for i in range(3)),
]

ABOUT = {
    "B000000001": {
        "attributes": ["gluten free", "oat flour"],
        "instruction": "Find me gluten free biscuits",
        "instruction_attributes": ["gluten free"],
    },
    "B000000002": {
        "attributes": ["dishwasher safe"],
        "instruction": "Find me dishwasher safe mugs",
        "instruction_attributes": ["dishwasher safe", "easy clean"],
    },
    "B000000003": {"attributes": ["dishwasher safe"]},
    "B000000005": {
        "attributes": ["solid wood"],
        "instruction": "Find me solid wood tables",
        "instruction_attributes": ["solid wood"],
    },
    "B000000006": {
        "attributes": [],
        "instruction": "Find me a throw",
        "instruction_attributes": ["machine wash"],
    },
}

HUMAN = {
    "B000000002": [
        {
            "instruction": "i want a blue mug.",
            "instruction_attributes": ["dishwasher safe"],
            "instruction_options": ["blue"],
        },
        {"instruction": "left out", "instruction_attributes": [], "instruction_options": []},
    ]
}


def write_files(folder):
    """Make a folder like WebShop's `data`; returns it."""
    for name, content in (
        ("items_shuffle_1000.json", ITEMS),
        ("items_ins_v2_1000.json", ABOUT),
        ("items_human_ins.json", HUMAN),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


def make_shop(folder):
    """The shop of that folder, every goal both a training and (with its own id) a test task."""
    products = read_products(folder, random.Random(0))
    goals = read_goals(folder, products, "synthetic", random.Random(0))
    goals.sort(key=lambda goal: (goal["asin"], goal["instruction_text"]))
    tasks = {
        split: [
            Task(
                "webshop",
                f"{split}/{i:04d}",
                g["instruction_text"],
                as_goal(g, rule.title_nouns(g["name"])),
            )
            for i, g in enumerate(goals)
        ]
        for split in ("train", "test")
    }
    return WebShop(products, tasks)
