"""The shop on WebShop's data: pages, grammar, goals, search and reward are the simulator's.

The first part runs on a few products of our own in WebShop's format; the second needs WebShop's
data and the record of the real simulator.
"""

import hashlib
import json
import lzma
import os
import pickle
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, load_log, save_log, transitions_of
from dreamgym_nb.worlds import FAILURE, collect_log, make_world, play
from dreamgym_nb.worlds import webshop_pages as pages
from dreamgym_nb.worlds import webshop_reward as rule
from dreamgym_nb.worlds.catalogue import Search
from dreamgym_nb.worlds.listing import BEHIND, clickables, read_chosen
from dreamgym_nb.worlds.shop import BACK, BUY, NEXT, NO_ACTION, NOT_HERE, PREV
from dreamgym_nb.worlds.vector import RealWorlds
from dreamgym_nb.worlds.webshop import MAX_ACTION_CHARS, WebShop, load_shop
from dreamgym_nb.worlds.webshop_data import (
    TEXT_CHARS,
    as_goal,
    make_tasks,
    read_goals,
    read_products,
)
from dreamgym_nb.worlds.webshop_search import Bm25, document_of, kept_length, words_of

# ---- a small shop in WebShop's format -----------------------------------------------------


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


@pytest.fixture
def folder(tmp_path):
    """A folder like WebShop's `data`."""
    for name, content in (
        ("items_shuffle_1000.json", ITEMS),
        ("items_ins_v2_1000.json", ABOUT),
        ("items_human_ins.json", HUMAN),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def shop(folder):
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


def walk(world, *actions, task=0):
    """Start a training task, do the actions, return the last answer."""
    answer = (*world.reset(options={"task": world.tasks("train")[task]}),)
    for action in actions:
        answer = world.step(action)
    return answer


# ---- the files ----------------------------------------------------------------------------


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


# ---- pages and grammar ----------------------------------------------------------------------

ASKED = "Find me gluten free biscuits with flavor name: plain, and size: 2 count (pack of 1)"


def test_raw_pages_read_as_the_simulator_writes_them(shop):
    _, info = shop.reset(options={"task": "train/0000"})
    asked = shop.task.instruction
    assert asked.startswith(ASKED)
    assert info["raw"] == f"WebShop [SEP] Instruction: [SEP] {asked} [SEP] Search"
    assert info["raw_clickables"] == ["search"]

    top = f"Instruction: [SEP] {asked} [SEP] Back to Search"
    *_, info = shop.step("search[oat biscuits]")
    row = "B000000001 [SEP] Hill & Dale Oat Biscuits, Gluten Free [SEP] $20.5"
    assert info["raw"] == f"{top} [SEP] Page 1 (Total results: 1) [SEP] Next > [SEP] {row}"
    assert info["raw_clickables"] == [BACK, NEXT, "b000000001"]

    about = "Hill & Dale Oat Biscuits, Gluten Free [SEP] Price: $20.5 [SEP] Rating: N.A."
    options = "flavor name [SEP] plain [SEP] salt | pepper [SEP] size [SEP] 2 count (pack of 1)"
    page = f'{top} [SEP] < Prev [SEP] {options} [SEP] 6" tin [SEP] {about}'
    page += " [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    *_, info = shop.step("click[B000000001]")
    things = [BACK, PREV, "description", "features", "reviews", BUY]
    things += ["plain", "salt | pepper", "2 count (pack of 1)", '6" tin']
    assert (info["raw"], info["raw_clickables"]) == (page, things)
    *_, info = shop.step("click[salt | pepper]")
    assert info["raw"] == page, "what is chosen cannot be seen"

    *_, info = shop.step("click[description]")
    text = "Crisp oat biscuits,\nbaked <slowly>."
    assert info["raw"] == f"{top} [SEP] < Prev [SEP] {text}"
    assert info["raw_clickables"] == [BACK, PREV]
    shop.step(f"click[{PREV}]")
    *_, info = shop.step("click[features]")
    # A feature without text leaves an empty piece.
    assert info["raw"] == f"{top} [SEP] < Prev [SEP] Keeps for a year [SEP]  [SEP] Vegan & kosher"
    shop.step(f"click[{PREV}]")
    *_, info = shop.step("click[reviews]")
    assert info["raw"] == f"{top} [SEP] < Prev"
    shop.step(f"click[{PREV}]")
    *_, info = shop.step(f"click[{BUY}]")
    assert 'options [SEP] {"flavor name": "salt | pepper"} [SEP] attrs' in info["raw"]
    assert info["raw"].endswith(
        f"Your score (min 0.0, max 1.0) [SEP] {info['score']} [SEP] Reward Details [SEP] None"
    )
    assert info["raw_clickables"] == []


def test_a_page_drops_what_a_browser_would_not_show():
    assert pages.page("a", "", " \n ", "  ", " b ") == "a [SEP]  [SEP] b"
    done = pages.done_page("B1", {"size": "7'", "color": "<red> & blue"}, 0.5)
    shown = r'{"color": "\u003cred\u003e \u0026 blue", "size": "7\u0027"}'
    assert f"options [SEP] {shown} [SEP]" in done


def test_abstract_pages_read_as_written(shop):
    observation, *_ = walk(shop, "search[oat biscuits]")
    row = "B000000001 Hill & Dale Oat Biscuits, Gluten Free $20.5"
    results = f"page 1 of 1\n{row}\n{BACK} | {NEXT}"
    assert observation == results
    observation, *_, info = shop.step("click[b000000001]")
    buttons = f"{BACK} | {PREV} | description | features | reviews | {BUY}"
    options = 'flavor name / plain / salt | pepper\nsize / 2 count (pack of 1) / 6" tin'
    assert observation == f"item {row}\n{options}\n{buttons}"
    behind = f"{BEHIND}results for oat biscuits\n{results}"
    assert info["state"] == f"{observation}\nchosen nothing{behind}"
    said, *_, info = shop.step('click[6" tin]')
    assert said == 'chosen / size / 6" tin'
    shop.step("click[salt | pepper]")
    both = 'chosen / flavor name / salt | pepper / size / 6" tin'
    assert shop.state == f"{observation}\n{both}{behind}"
    text, *_ = shop.step("click[features]")
    lines = "- Keeps for a year\n- Vegan & kosher"
    assert text == f"features of B000000001\n{lines}\n{BACK} | {PREV}"
    assert clickables(shop.state.partition(BEHIND)[0]) == [BACK, PREV]
    assert shop.step(f"click[{PREV}]")[4]["state"] == f"{observation}\n{both}{behind}"
    shop.step("click[reviews]")
    assert shop.observation == f"reviews of B000000001\n- nothing\n{BACK} | {PREV}"
    assert shop.step(f"click[{BACK}]")[4]["state"] == "search page", "from a page of text too"


def test_long_texts_are_cut_in_the_state_and_whole_in_the_raw_page(folder):
    long = " ".join(["words"] * 1000)
    changed = [{**ITEMS[0], "full_description": long, "small_description": ["a b", long, "never"]}]
    (folder / "items_shuffle_1000.json").write_text(json.dumps(changed))
    world = load_shop(folder)
    world.reset(options={"task": world.tasks("train")[0]})
    for name in ("description", "features"):
        world.step("search[oat]")
        world.step("click[b000000001]")
        observation, *_, info = world.step(f"click[{name}]")
        assert TEXT_CHARS < len(observation) < TEXT_CHARS + 60 and " …\n" in observation
        assert long in info["raw"] and "never" not in observation


def test_attributes_are_a_page_where_they_are_shown(folder):
    world = load_shop(folder, show_attributes=True)
    answer = walk(world, "search[oat]", "click[b000000001]")
    assert "Reviews [SEP] Attributes [SEP] Buy Now" in answer[4]["raw"]
    answer = world.step("click[attributes]")
    assert answer[4]["raw"].endswith(
        "< Prev [SEP] gluten free [SEP] oat flour [SEP] grocery [SEP] biscuits [SEP] "
        "Grocery › Snacks › Biscuits"
    )
    assert answer[0].startswith("attributes of B000000001\n- gluten free, oat flour\n")


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("search[Red MUG]", ("search", "red mug")),
        ("search[a  b]", ("search", "a  b")),
        ("search[ ]", ("search", " ")),
        ("click[Buy Now] please", ("click", "buy now")),
        ("click[a]\nclick[b]", ("click", "a")),
        ("click[a]]", ("click", "a]")),
        ("click[[a]]", None),
        ("search[]", None),
        ("Search[mug]", None),
        (" search[mug]", None),
        ("search [mug]", None),
        ("I will click[a]", None),
        ("click[a\nb]", None),
        ("click", None),
        ("", None),
        ("search[" + "a" * (MAX_ACTION_CHARS - 8) + "]", ("search", "a" * (MAX_ACTION_CHARS - 8))),
        ("search[" + "a" * (MAX_ACTION_CHARS - 7) + "]", None),
    ],
)
def test_the_grammar_is_upstreams(shop, action, parsed):
    assert shop.parse(action) == parsed


def test_a_failure_says_why_and_changes_nothing(shop):
    walk(shop, "search[stoneware]", "click[b000000002]", "click[sand]")
    state, raw, can = shop.state, shop.raw, shop.admissible_actions()
    failures = [
        ("click[ sand]", NOT_HERE),
        ("click[red]", NOT_HERE),
        ("click[next >]", NOT_HERE),
        ("click[search]", NOT_HERE),
        ("buy now", NO_ACTION),
        ("Click[sand]", NO_ACTION),
    ]
    for action, why in failures:
        observation, reward, terminated, _, info = shop.step(action)
        assert (observation, reward, terminated, info["failed"]) == (why, 0.0, False, True)
        assert observation.startswith(FAILURE)
        assert (info["state"], info["raw"], info["admissible_actions"]) == (state, raw, can)


def test_results_go_on_past_the_last_page(shop):
    answer = walk(shop, "search[mug]")
    assert answer[0].startswith("page 1 of 2\n") and len(answer[4]["raw_clickables"]) == 12
    *_, info = shop.step(f"click[{NEXT}]")
    assert info["raw_clickables"][:3] == [BACK, PREV, NEXT] and len(info["raw_clickables"]) == 8
    shop.step(f"click[{NEXT}]")
    observation, *_, info = shop.step(f"click[{NEXT}]")
    assert observation == f"page 4 of 2\nno results\n{BACK} | {PREV} | {NEXT}"
    assert info["raw"].endswith("Page 4 (Total results: 15) [SEP] < Prev [SEP] Next >")
    for _ in range(3):
        shop.step(f"click[{PREV}]")
    assert shop.state.startswith("results for mug\npage 1 of 2\n")
    assert shop.step(f"click[{PREV}]")[0] == NOT_HERE


def test_options_are_gone_when_an_item_is_left(shop):
    walk(shop, "search[stoneware]", "click[b000000002]", "click[sand]", f"click[{PREV}]")
    shop.step("click[b000000002]")
    assert "\nchosen nothing\n" in shop.state and shop._chosen == {}


def test_what_the_grammar_cannot_say_is_not_admissible(shop):
    *_, info = walk(shop, "search[wool]", "click[b000000006]")
    assert info["raw_clickables"][-3:] == ["grey [new]", "grey\nold", "grey"]
    assert info["admissible_actions"][-2:] == [f"click[{BUY}]", "click[grey]"]
    assert clickables(info["state"].partition(BEHIND)[0]) == info["raw_clickables"]
    assert shop.step("click[grey [new]]")[0] == NO_ACTION


def test_hidden_modes_list_a_kind_or_a_department(shop):
    def found(words):
        return [p.id for p in shop.search(words)]

    assert found("<q> mugs") == [p.id for p in shop.products if p.query == "mugs"]
    assert len(found("<q> mugs")) == 15, "all of them, however many"
    assert found("<c> grocery") == ["B000000001"] == found("<c> grocery or so")
    assert found("<c>") == found("<q> tall") == found("<r>") == []
    answer = walk(shop, "search[<Q> Mugs]")
    assert "Page 1 (Total results: 15)" in answer[4]["raw"]
    assert answer[4]["state"].startswith("results for <q> mugs\n")


def test_every_state_says_what_the_engine_knows(shop):
    """Over wandering episodes of all behaviours, and each admissible action works."""
    shop.max_steps, rng, seen = 40, np.random.default_rng(0), Counter()
    for n in range(60):
        shop.reset(options={"task": shop.tasks("train")[n % len(shop.tasks("train"))]})
        over = False
        while not over:
            head = shop.state.partition(BEHIND)[0]
            things = shop._clickables()
            assert clickables(head) == things
            assert things == shop.page_clickables() or head == "search page"
            if head.startswith("item "):
                assert read_chosen(head) == shop._chosen
                assert shop.wanted(shop._item).keys() >= {
                    n for n in shop.task.goal["options"] if n in shop._item.options
                }
            if shop._page:
                on, shop._item = shop._item, None
                behind = f"results for {shop._query}\n{shop._results_page()}"
                shop._item = on
                assert shop.state.split(BEHIND)[-1] == behind
            seen[head.split()[0]] += 1
            can = shop.admissible_actions()
            if rng.random() < 0.4 and head != "search page":
                action = can[rng.integers(len(can))]
            else:
                action = shop.act(str(rng.choice(list(shop.behaviours))), rng)
            trace = shop.teacher(shop.task, shop.state, action)
            observation, _, terminated, truncated, info = shop.step(action)
            if action in can:
                assert not info["failed"]
            assert info["failed"] == ("is not there" in trace or "no action" in trace)
            assert info["raw"] and shop.observation_space.contains(observation)
            over = terminated or truncated
    assert min(seen[k] for k in ("search", "results", "item", "description", "features")) > 10


def test_gymnasium_and_the_vector_take_it(shop, tmp_path):
    check_env(shop, skip_render_check=True)
    rows = RealWorlds(shop, 2)
    tasks = shop.tasks("train")[:2]
    rows.reset(options={"tasks": tasks})
    rows.step(["search[oat]", "search[steel]"])
    observations, *_ = rows.step(["click[b000000001]", "click[b000000003]"])
    assert [o.split()[1] for o in observations] == ["B000000001", "B000000003"]
    log = collect_log(shop, tasks, 6, seed=0)
    assert load_log(save_log(tmp_path / "log.jsonl", log)) == log
    assert {t.task.world for t in log} == {"webshop"}
    assert pickle.loads(pickle.dumps(shop)).search("oat") == shop.search("oat")


# ---- the reward rule ------------------------------------------------------------------------


def verdict_of(shop, id, chosen, **goal):
    """Judge a purchase for a goal that the stoneware mug meets but for what is given."""
    usual = {
        "query": "mugs",
        "category": ["Home", "Kitchen", "Mugs"],
        "nouns": ["stoneware", "mug", "lid"],
        "attributes": ["dishwasher safe"],
        "options": {"color": "navy blue"},
        "price_upper": 30.0,
    }
    return shop.judge(shop.by_id[id], chosen, {**usual, **goal})


MUG = "b000000002"


def test_the_reward_counts_attributes_options_and_price_alike(shop):
    right = {"color": "navy blue"}
    assert verdict_of(shop, MUG, right).score == 1.0
    assert verdict_of(shop, MUG, right, price_upper=20.0).score == 2 / 3
    assert verdict_of(shop, MUG, {}).score == 2 / 3
    assert verdict_of(shop, MUG, {"color": "sand"}).score == 2 / 3
    assert verdict_of(shop, MUG, right, attributes=["vegan"]).score == 2 / 3
    verdict = verdict_of(shop, MUG, right, attributes=["vegan", "dishwasher safe"])
    assert verdict.attributes == {"vegan": False, "dishwasher safe": True}
    assert verdict.options == {"color navy blue": True} and verdict.score == 3 / 4


def test_attributes_are_matched_loosely(shop):
    def met(id, wanted):
        return rule.attribute_found(shop.by_id[id], wanted)

    assert met(MUG, "safe dishwasher") == "dishwasher safe", "order does not matter"
    assert met(MUG, "dishwasher") == "dishwasher safe", "part of it is enough"
    assert met(MUG, "dish washer safe") == "dishwasher safe", "nor does a letter or two"
    assert met(MUG, "microwave safe") is None, "a word in common is not"
    assert met("b000000001", "baked <slow") == "its text", "of the description"
    assert met("b000000001", "year  vegan") is None, "two features, joined by their own blanks"
    assert met("b000000001", "hill & dale") == "its text"


def test_options_are_compared_by_colour_and_loosely(shop):
    """Upstream compares chosen values with pairs (name, value) of a synthetic goal."""

    def met(chosen, wanted):
        return rule.option_found({"any name": chosen}, wanted)

    assert met("navy blue", "light blue") == "navy blue", "both are blue: the list of colours"
    assert met("wine red", ("color", "light red")) == "wine red", "it is reduced to red"
    assert met("dark red", ("color", "light red")) is None, "it is reduced to dark"
    assert met("5 inch", ("size", "5 inch")) == "5 inch"
    assert met("color", ("color", "zebra")) == "color", "the name is part of what is compared"
    assert met("6 inch", "5 feet") is None
    assert met("grey", ("color", "gray")) is None, "two colours to upstream"


def test_a_human_goal_lists_values_without_names(shop):
    wishes = {"options": ["blue", "oven"]}
    verdict = verdict_of(shop, MUG, {"color": "navy blue"}, **wishes)
    assert verdict.options == {"blue": True, "oven": False} and verdict.score == 3 / 4
    assert verdict_of(shop, MUG, {"color": "navy blue"}, options=[]).score == 1.0


def test_the_type_counts_repeated_nouns(shop):
    table = {"query": "tables", "category": ["Garden"]}
    nouns = ["mug", "a", "b", "c", "d"]
    assert verdict_of(shop, MUG, {}, **table, nouns=nouns).type == 0.5
    assert verdict_of(shop, MUG, {}, **table, nouns=[*nouns[:2], "mug"]).type == 1.0
    assert verdict_of(shop, MUG, {}, **table, nouns=nouns + ["a"] * 6).type == 0.1
    assert verdict_of(shop, MUG, {}, **table, nouns=["a"]).type == 0.0


def test_nouns_of_a_title_are_its_words():
    title = "12 Men's T-Shirts for the A&B Club, 4.5oz (Pack of 2) – Größe L"
    expected = ["men", "t", "shirts", "a&b", "club", "4.5oz", "pack", "größe", "l"]
    assert rule.title_nouns(title) == expected


def test_the_trace_of_a_purchase_decides_its_reward(shop):
    seen = Counter()
    for t in transitions_of(collect_log(shop, shop.tasks("train"), 300, seed=1)):
        if t.terminated:
            marks = {line.split()[-1] for line in t.reasoning.split("\n")}
            assert marks <= {"yes", "no"} and (t.reward == 1.0) == (marks == {"yes"})
            seen[t.reward] += 1
        else:
            assert t.reward == 0.0 and "wanted" not in t.reasoning
    assert min(seen[0.0], seen[1.0]) > 20


def test_the_teacher_says_wanted_against_got(shop):
    walk(shop, "search[oat]", "click[b000000001]", "click[salt | pepper]")
    limit = f"at most ${shop.task.goal['price_upper']:g}"
    assert shop.teacher(shop.task, shop.state, f"click[{BUY}]").split("\n") == [
        "wanted biscuits got biscuits yes",
        "wanted gluten free got gluten free yes",
        "wanted flavor name plain got salt | pepper no",
        "wanted size 2 count (pack of 1) got salt | pepper no",
        f"wanted {limit} got $20.50 yes",
    ]
    goal = {**shop.task.goal, "options": ["oven"], "price_upper": 1_000_000}
    task = replace(shop.task, goal=goal)
    assert shop.teacher(task, shop.state, f"click[{BUY}]").split("\n")[-2:] == [
        "wanted oven got salt | pepper no",
        "wanted any price got $20.50 yes",
    ]


def test_the_behaviours_work_on_human_goals(folder):
    products = read_products(folder, random.Random(0))
    [goal] = read_goals(folder, products, "human", random.Random(0))
    nouns = rule.title_nouns(goal["name"])
    task = Task("webshop", "train/0", goal["instruction_text"], as_goal(goal, nouns))
    world = WebShop(products, {"train": [task], "test": []})
    rng = np.random.default_rng(0)
    expert = play(world, task, lambda w: w.act("expert", rng), id="x", behaviour="expert")
    assert expert.success and "click[navy blue]" in [t.action for t in expert.transitions]
    assert len(collect_log(world, [task], 40, seed=0)) == 40


# ---- search ---------------------------------------------------------------------------------


def test_lengths_are_kept_as_lucene_keeps_them():
    exact = list(range(41)) + [42, 44, 54, 56, 60, 88, 120, 152, 168, 232, 264, 1816]
    assert [kept_length(n) for n in exact] == exact
    rounded = {41: 40, 43: 42, 59: 56, 95: 88, 117: 112, 145: 144, 226: 216, 245: 232, 1919: 1816}
    assert {n: kept_length(n) for n in rounded} == rounded
    assert all(kept_length(n) <= kept_length(n + 1) <= n + 1 for n in range(3000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Women's shoes, and MEN’S too", ["women", "shoe", "men", "too"]),
        ("assembly technologies biology", ["assembl", "technolog", "biologi"]),
        ("1,000.5 wi-fi u.s.a 3-in-1", ["1,000.5", "wi", "fi", "u.s.a", "3", "1"]),
        ("snake_case _ a:b 5:30", ["snake_cas", "a:b", "5", "30"]),
        ("❤️🌸★ red手机", ["❤️", "🌸", "★", "red", "手", "机"]),
        ("", []),
    ],
)
def test_words_are_cut_and_stemmed_as_lucene_does(text, words):
    assert words_of(text) == words


def test_bm25_is_the_formula():
    texts = ["red mug", "red red mug with a lid", "blue lamp", " ".join(["mug"] * 60)]
    found = Bm25(texts).scores("red mug mug")
    mean = (2 + 4 + 2 + 60) / 4

    def term(times, df, length):
        idf = np.log(1 + (4 - df + 0.5) / (df + 0.5))
        return idf * times / (times + 0.9 * (0.6 + 0.4 * length / mean))

    assert found[0] == pytest.approx(term(1, 2, 2) + 2 * term(1, 3, 2))
    assert found[1] == pytest.approx(term(2, 2, 4) + 2 * term(1, 3, 4))
    assert found[2] == 0.0
    assert found[3] == pytest.approx(2 * term(60, 3, 60))
    assert not Bm25(texts).scores("zebra").any() and not Bm25([""]).scores("mug").any()


def test_the_generated_shops_own_search_agrees():
    """The readable BM25 that the course shows, against this one on the same words."""
    world = make_world("shop", seed=3)
    own, other = (
        Search(world.products, limit=1000),
        Bm25([p.title for p in world.products], str.split),
    )
    queries = {" ".join(t.goal["attributes"]) + f" {t.goal['query']}" for t in world.tasks("train")}
    for query in sorted(queries)[:80]:
        scores = dict(zip((p.id for p in world.products), other.scores(query), strict=True))
        found = [p.id for p in own(query)]
        assert set(found) == {id for id, score in scores.items() if score > 0}
        assert found == sorted(found, key=lambda id: (-round(scores[id], 9), id))


def test_ties_are_broken_by_id_and_fifty_is_the_most(shop):
    mugs = [p.id for p in shop.search("plain mug")]
    plain = sorted(p.id for p in shop.products if p.title.startswith("Plain Mug No"))
    assert mugs[: len(plain)] == plain
    assert document_of(shop.products[0]) == (
        "hill & dale oat biscuits, gluten free crisp oat biscuits,\nbaked <slowly>. keeps for a "
        'year  flavor name: plain, salt | pepper, and size: 2 count (pack of 1), 6" tin'
    )


# ---- against the real simulator ---------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    """The folder with the real benchmarks' files."""
    folder = os.environ.get("DREAMGYM_DATA")
    if not folder or not Path(folder, "webshop").is_dir():
        pytest.skip(
            "WebShop's data is not here: set DREAMGYM_DATA to a folder that holds it in webshop/ "
            "(upstream's own: ./setup.sh -d small of princeton-nlp/WebShop)."
        )
    return Path(folder)


@pytest.fixture(scope="module")
def record(data):
    """The recorded episodes of the real simulator, and what it drew."""
    if not Path(data, "golden").is_dir():
        pytest.skip("The record of the real simulator is not here: DREAMGYM_DATA has no golden/.")
    with lzma.open(data / "golden/webshop_meta.json.xz", "rt", encoding="utf-8") as f:
        meta = json.load(f)
    with lzma.open(data / "golden/webshop_dev.jsonl.xz", "rt", encoding="utf-8") as lines:
        return meta, [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def real(data):
    """The two simulators, by kind of goals: (shop, goals in the simulator's order)."""
    made = {}
    for kind in ("synthetic", "human"):
        rng = random.Random(0)
        products = read_products(data / "webshop", rng)
        goals = read_goals(data / "webshop", products, kind, rng)
        made[kind] = (WebShop(products, make_tasks(goals), max_steps=100), goals)
    return made


def test_prices_and_goals_are_the_simulators(real, record):
    meta, _ = record
    for kind, (world, goals) in real.items():
        assert {p.id: p.price for p in world.products} == meta["product_prices"]
        digest = hashlib.sha256(json.dumps(goals, sort_keys=True).encode()).hexdigest()
        assert (len(goals), digest) == (meta["n_goals"][kind], meta["goals_sha256"][kind])
    sizes = {s: len(real["synthetic"][0].tasks(s)) for s in ("test", "validation", "train")}
    assert sizes == {"test": 500, "validation": 1000, "train": 5406}, "4 copies are left out"
    texts = [{t.instruction for t in real["synthetic"][0].tasks(s)} for s in sizes]
    assert texts[0].isdisjoint(texts[1] | texts[2]) and texts[1].isdisjoint(texts[2])


def test_the_slim_file_holds_the_same_products(real, data, tmp_path):
    for name in ("items_slim_1000.json.xz", "items_ins_v2_1000.json.xz"):
        (tmp_path / name).symlink_to(data / "webshop" / name)
    assert read_products(tmp_path, random.Random(0)) == real["synthetic"][0].products


def replay(world, goal, steps):
    """Repeat a recorded episode; yields (recorded step, what our world answered)."""
    task = Task(
        "webshop", "x", goal["instruction_text"], as_goal(goal, rule.title_nouns(goal["name"]))
    )
    for step in steps:
        if step["action"] is None:
            _, info = world.reset(options={"task": task})
            yield step, (0.0, False, info)
        else:
            _, reward, terminated, _, info = world.step(step["action"])
            yield step, (reward, terminated, info)


def typed(step):
    return re.match(r"(.+)\[(.+)\]", step["action"])[2].lower()


@pytest.mark.parametrize("given", [True, False], ids=["given its result lists", "by our search"])
def test_every_recorded_step_of_the_real_simulator_is_repeated(real, record, given, monkeypatch):
    """1,071 steps of 120 episodes: page, clickables, validity, end; and the reward of 98 buys."""
    count = Counter()
    for episode in record[1]:
        world, goals = real[episode["goal_set"]]
        assert goals[episode["goal_index"]] == episode["goal"]
        lists = {typed(s): s["search_asins"] for s in episode["steps"] if "search_asins" in s}
        if given:
            monkeypatch.setattr(world.search, "rank", lists.__getitem__)
        for step, (reward, terminated, info) in replay(world, episode["goal"], episode["steps"]):
            count["steps"] += 1
            clickable = step["available_actions"]["clickables"]
            assert info["raw_clickables"] == clickable
            assert (clickable == ["search"]) == step["available_actions"]["has_search_bar"]
            assert terminated == step["done"]
            if step["action"] is not None and type(step["reward"]) is int:
                count["invalid"] += 1  # upstream's reward of an invalid action is the integer 0
                assert info["failed"]
            else:
                assert not info["failed"]
            if not terminated:
                assert info["raw"] == step["observation"] and reward == 0.0
                continue
            count["bought"] += 1
            purchase, simulators = step["purchase"], step["info"]
            assert world._item.price == purchase["price"] and world._chosen == purchase["options"]
            assert (reward == 1.0) == (step["reward"] >= 1.0)
            # Elsewhere the reward hangs on the nouns of a title, which a tagger must tell.
            if purchase["same_item"] or info["verdict"].type == simulators["r_type"]:
                count["same reward"] += 1
                assert info["score"] == pytest.approx(step["reward"], abs=1e-6)
                assert info["raw"] == step["observation"]
            nouns = purchase["nouns"]
            product = replace(world._item, nouns=frozenset(nouns["purchased"]))
            goal = {**world.task.goal, "nouns": nouns["goal"]}
            verdict = world.judge(product, world._chosen, goal)
            assert verdict.score == step["reward"], "given the nouns, to the last bit"
            assert verdict.type == simulators["r_type"] and verdict.price == simulators["r_price"]
            met = [*verdict.attributes.values()]
            assert sum(met) / len(met) == pytest.approx(simulators["r_att"])
            shown = pages.done_page(product.id, world._chosen, verdict.score)
            assert shown == step["observation"]
    assert count == {"steps": 1071, "invalid": 75, "bought": 98, "same reward": 95}


def test_our_search_gives_lucenes_lists(real, record):
    """The whole lists of up to 50, in their order, for each of the 184 recorded searches."""
    searches = [
        (real[e["goal_set"]][0], typed(s), s["search_asins"])
        for e in record[1]
        for s in e["steps"]
        if "search_asins" in s
    ]
    assert len(searches) == 184
    assert [q for world, q, ids in searches if [p.id for p in world.search(q)] != ids] == []


def test_every_product_can_be_read_back_and_clicked(real):
    """Pages of all 1,000 products, each of their options and texts."""
    world, _ = real["synthetic"]
    world.max_steps, chosen = 100, 0
    for product in world.products:
        world.reset(options={"task": world.tasks("train")[0]})
        world._results, world._page = [product], 1
        world._item = world._text = None
        world.state = f"results for x\n{world._results_page()}"
        things = world._clickables()
        assert clickables(world.state) == things
        assert world.step(f"click[{product.id}]")[4]["raw_clickables"] == world._clickables()
        for action in world.admissible_actions():
            if action in (f"click[{BACK}]", f"click[{PREV}]", f"click[{BUY}]"):
                continue
            observation, *_, info = world.step(action)
            assert not info["failed"] and world.observation_space.contains(observation)
            head = info["state"].partition(BEHIND)[0]
            assert clickables(head) == world._clickables()
            if world._text is None:
                assert read_chosen(head) == world._chosen
                chosen += 1
            else:
                world.step(f"click[{PREV}]")
        assert (
            list(world._chosen)
            and set(world._chosen) == set(product.options)
            or not (product.options)
        )
    assert chosen == sum(len(set(v)) for p in world.products for v in p.options.values())


def test_the_expert_wins_and_the_others_work(real):
    world, _ = real["synthetic"]
    world.max_steps, rng = 15, np.random.default_rng(0)
    log = [
        play(world, task, lambda w: w.act("expert", rng), id=task.id, behaviour="expert")
        for task in world.tasks("test")[:100]
    ]
    assert sum(t.success for t in log) >= 90
    assert not any(s.failed for s in transitions_of(log))
    bought = [t for t in log if t.transitions[-1].terminated]
    assert all(t.success for t in bought), "it buys nothing that is wrong"
    for kind, (shop, _) in real.items():
        shop.max_steps = 15
        mixed = collect_log(shop, shop.tasks("train"), 60, seed=0)
        ends = [t.transitions[-1].reward for t in mixed if t.transitions[-1].terminated]
        assert 0.0 < np.mean(ends) < 1.0, kind
        assert {t.failed for t in transitions_of(mixed)} == {True, False}
