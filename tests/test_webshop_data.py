"""WebShop's files are read as upstream reads them: products, goals, splits, what is missing."""

import json
import lzma
import random
from collections import Counter

import pytest
from webshop_by_hand import ITEMS, make_shop, write_files

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.webshop import WebShop, load_shop
from dreamgym_nb.worlds.webshop_data import make_tasks, read_goals, read_products


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path)


@pytest.fixture
def shop(folder):
    return make_shop(folder)


def test_products_are_cleaned_as_upstream_cleans_them(shop):
    ids = [p.id for p in shop.products]
    assert ids[:5] == [f"B00000000{i}" for i in (1, 2, 3, 5, 6)] and len(ids) == 18
    biscuits, mug, steel, table, throw = shop.products[:5]
    assert (
        biscuits.query == "biscuits" and biscuits.title == "Hill & Dale Oat Biscuits, Gluten Free"
    )
    assert biscuits.options == {
        "flavor name": ("plain", "salt | pepper"),
        "size": ("2 count (pack of 1)", '6" tin'),
    }
    assert biscuits.category == ("Grocery", "Snacks", "Biscuits")
    assert (biscuits.price, biscuits.price_tag) == (20.5, "$20.5")
    assert mug.options == {"color": ("navy blue", "sand")}
    assert steel.title == "Tall Steel Mug" and steel.price_tag == "$8.0 to $12.5"
    assert steel.price == random.Random(0).uniform(8.0, 12.5), "the first draw"
    assert (table.price, table.price_tag, table.options) == (100.0, "$100.0", {})
    assert (throw.price, throw.price_tag) == (1250.0, "$1250.0")
    assert throw.bullets == ("One text, no list",)
    assert throw.attributes == frozenset()
    assert shop.products[5].attributes == {"DUMMY_ATTR"}, "as upstream, where nothing is known"


def test_goals_are_made_as_upstream_makes_them(folder):
    rng = random.Random(0)
    products = read_products(folder, rng)
    goals = read_goals(folder, products, "synthetic", rng)
    # Four of the biscuits, two of the mug, one of the table; the throw has a size without values.
    assert Counter(g["asin"] for g in goals) == {"B000000001": 4, "B000000002": 2, "B000000005": 1}
    [table] = [g for g in goals if g["asin"] == "B000000005"]
    limit = table["price_upper"]
    assert limit in (120.0, 130.0, 140.0), "the larger of two of the next four tens"
    text = f"Find me solid wood tables, and price lower than {limit:.2f} dollars"
    assert table["instruction_text"] == text
    [tin] = [g for g in goals if g["goal_options"] == {"flavor name": "plain", "size": '6" tin'}]
    assert tin["instruction_text"].startswith(
        'Find me gluten free biscuits with flavor name: plain, and size: 6" tin, and price lower'
    )
    assert tin["price_upper"] in (40.0, 50.0, 60.0)
    weights = {g["asin"]: g["weight"] for g in goals}
    assert weights == {"B000000001": 1 / 4, "B000000002": (1 / 2 + 1 / 2) / 2, "B000000005": 1.0}

    [human] = read_goals(folder, products, "human", random.Random(0))
    assert human["instruction_text"].startswith("i want a blue mug, and price lower than ")
    assert human["goal_options"] == ["blue"] and human["weight"] == 1


def test_a_price_above_every_limit_has_none(folder):
    (folder / "items_shuffle_1000.json").write_text(
        json.dumps([{**ITEMS[1], "pricing": "$985.00"}])
    )
    products = read_products(folder, random.Random(0))
    goals = read_goals(folder, products, "synthetic", random.Random(0))
    assert {g["price_upper"] for g in goals} == {1_000_000}
    text = "Find me dishwasher safe mugs with color: "
    assert {g["instruction_text"] for g in goals} == {f"{text}navy blue", f"{text}sand"}


def test_the_seed_draws_prices_and_limits(folder):
    def drawn(seed):
        world = load_shop(folder, seed=seed)
        tasks = [t for split in ("train", "test", "validation") for t in world.tasks(split)]
        return world.products[2].price, sorted((t.instruction, t.id) for t in tasks)

    assert drawn(1) == drawn(1) != drawn(2)


def test_compressed_files_are_the_same_files(folder, tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    for path in folder.iterdir():
        (packed / f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes()))
    one, other = load_shop(folder), load_shop(packed)
    assert one.products == other.products
    assert [t.goal for t in one.tasks("train")] == [t.goal for t in other.tasks("train")]


def test_what_is_missing_gets_a_sentence(folder, monkeypatch):
    with pytest.raises(UserError, match=r"no split 'dev'"):
        load_shop(folder).tasks("dev")
    with pytest.raises(UserError, match="Goals are 'synthetic' or 'human', not 'robot'"):
        load_shop(folder, goals="robot")
    (folder / "items_ins_v2_1000.json").write_text('{"B0')
    with pytest.raises(UserError, match=r"items_ins_v2_1000.json is damaged .* Download it again"):
        load_shop(folder)
    (folder / "items_ins_v2_1000.json").unlink()
    with pytest.raises(UserError, match=r"has no items_ins_v2_1000.json. Get WebShop's data as"):
        load_shop(folder)
    monkeypatch.setenv("DREAMGYM_DATA", str(folder))
    with pytest.raises(UserError, match=r"webshop has no items_ins_v2_1000.json"):
        load_shop()
    monkeypatch.delenv("DREAMGYM_DATA")
    with pytest.raises(UserError, match="Say where WebShop's data is: load_shop"):
        load_shop()


def test_splits_are_webshops_and_no_goal_is_in_two_of_them():
    goal = {**dict.fromkeys(("asin", "query", "product_category", "name"), ""), "attributes": []}
    goals = [
        {**goal, "instruction_text": f"find {i % 2600}", "goal_options": {}, "price_upper": 1.0}
        for i in range(2700)
    ]
    tasks = make_tasks(goals)
    numbers = {split: [int(t.id.split("/")[1]) for t in ts] for split, ts in tasks.items()}
    assert numbers["test"] == list(range(500))
    assert numbers["validation"] == list(range(500, 1500))
    assert numbers["train"] == list(range(1500, 2600)), "what a test goal asks for is left out"
    few = make_tasks(goals[:13])
    assert {split: len(ts) for split, ts in few.items()} == {"test": 3, "validation": 3, "train": 7}


def test_validation_tasks_are_there_by_id_and_are_not_drawn(folder):
    products = read_products(folder, random.Random(0))
    tasks = make_tasks(read_goals(folder, products, "synthetic", random.Random(0)))
    world = WebShop(products, tasks)
    assert [t.id for t in world.tasks("validation")] == ["validation/0001", "validation/0002"]
    world.reset(options={"task": "validation/0002"})
    assert world.task == tasks["validation"][1]
    assert all(world.reset(seed=s)[1]["task"] in tasks["train"] for s in range(20))
    with pytest.raises(UserError, match="The webshop has no task 'validation/0003'"):
        world.reset(options={"task": "validation/0003"})
