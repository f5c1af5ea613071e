"""The shop on WebShop's data: upstream's pages and grammar, states that say what it knows."""

import json
import pickle
from collections import Counter

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from walks import walk
from webshop_by_hand import ITEMS, make_shop, write_files

from dreamgym_nb.experience import load_log, save_log
from dreamgym_nb.worlds import FAILURE, collect_log
from dreamgym_nb.worlds import webshop_pages as pages
from dreamgym_nb.worlds.listing import BEHIND, clickables, read_chosen
from dreamgym_nb.worlds.shop import BACK, BUY, NEXT, NO_ACTION, NOT_HERE, PREV
from dreamgym_nb.worlds.vector import RealWorlds
from dreamgym_nb.worlds.webshop import MAX_ACTION_CHARS, load_shop
from dreamgym_nb.worlds.webshop_data import TEXT_CHARS


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path)


@pytest.fixture
def shop(folder):
    return make_shop(folder)


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


def test_a_long_action_is_refused_before_it_is_read(shop, monkeypatch):
    class Unread:
        def match(self, text):
            raise AssertionError(f"read {len(text)} characters")

    monkeypatch.setattr("dreamgym_nb.worlds.webshop._ACTION", Unread())
    assert shop.parse("search" + "[" * MAX_ACTION_CHARS) is None


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
