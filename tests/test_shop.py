"""The shop is exact: its grammar, its pages, and what it promises as a world."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from shop_by_hand import GOAL, product, written_shop
from walks import walk

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import FAILURE, collect_log, make_world
from dreamgym_nb.worlds.catalogue import Search
from dreamgym_nb.worlds.shop import (
    BACK,
    BEHIND,
    BUY,
    NEXT,
    NO_ACTION,
    NOT_HERE,
    PREV,
    Shop,
    clickables,
    parse_action,
)

# ---- the grammar ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("search[red mug]", ("search", "red mug")),
        ("  SEARCH[ Red\n\tMUG ]  ", ("search", "red mug")),
        ("click[Buy Now]", ("click", "buy now")),
        ("click[< prev]", ("click", "< prev")),
        ("click[a[b]c]", ("click", "a[b]c")),
        ("search[日本語]", ("search", "日本語")),
        ("search[]", None),
        ("search[  ]", None),
        ("", None),
        ("click", None),
        ("click[b1", None),
        ("buy[b1]", None),
        ("click[b1] click[b2] now", None),
        ("search[" + "a" * 193 + "]", None),
        ("search[" + "a" * 192 + "]", ("search", "a" * 192)),
    ],
)
def test_an_action_is_a_verb_and_a_thing(action, parsed):
    assert parse_action(action) == parsed


# ---- the pages ------------------------------------------------------------------------


def test_pages_read_as_written():
    world = written_shop()
    first, info = world.reset(options={"task": "train/0"})
    assert (first, info["state"]) == ("search page", "search page")
    assert info["admissible_actions"] == ["search[words]"]

    rows = "B1 plain steel mug $20\nB2 plain steel mug $20\nB3 plain steel mug $20\n"
    page_1 = f"page 1 of 2\n{rows}B4 plain steel mug $20\nback to search | next >"
    observation, reward, terminated, truncated, info = world.step("search[Steel MUG]")
    assert observation == page_1
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["state"] == f"results for steel mug\n{page_1}"
    assert info["admissible_actions"] == [
        f"click[{thing}]" for thing in (BACK, NEXT, "b1", "b2", "b3", "b4")
    ]

    rug = "B7 soft steel rug $30\n"
    page_2 = f"page 2 of 2\nB5 plain steel mug $20\nB6 plain steel mug $20\n{rug}{BACK} | {PREV}"
    observation, *_, info = world.step(f"click[{NEXT}]")
    assert (observation, info["state"]) == (page_2, f"results for steel mug\n{page_2}")
    observation, *_, info = world.step(f"click[{PREV}]")
    assert (observation, info["state"]) == (page_1, f"results for steel mug\n{page_1}")

    buttons = f"{BACK} | {PREV} | description | features | {BUY}"
    item = f"item B1 plain steel mug $20\ncolor: red blue\nsize: small large\n{buttons}"
    behind = f"{BEHIND}results for steel mug\n{page_1}"
    observation, *_, info = world.step("click[B1]")
    assert (observation, info["state"]) == (item, f"{item}\nchosen nothing{behind}")
    things = (BACK, PREV, "description", "features", BUY, "red", "blue", "small", "large")
    assert info["admissible_actions"] == [f"click[{thing}]" for thing in things]

    observation, *_, info = world.step("click[large]")
    assert (observation, info["state"]) == (
        "chosen size large",
        f"{item}\nchosen size large{behind}",
    )
    observation, *_, info = world.step("click[blue]")
    assert info["state"] == f"{item}\nchosen color blue and size large{behind}", "in page order"
    observation, *_, info = world.step("click[red]")
    chosen = f"{item}\nchosen color red and size large{behind}"
    assert (observation, info["state"]) == ("chosen color red", chosen), "replaced, not added"

    observation, *_, info = world.step("click[features]")
    assert observation == "features of B1\nit is made\nof steel\n< prev"
    assert info["state"] == f"{observation}{BEHIND}{chosen}"
    assert info["admissible_actions"] == [f"click[{PREV}]"]
    observation, *_, info = world.step(f"click[{PREV}]")
    assert (observation, info["state"]) == (item, chosen), "what was chosen is still chosen"


def test_prev_on_an_item_leads_to_the_page_it_came_from():
    world = written_shop()
    answer = walk(world, "search[steel]", f"click[{NEXT}]", "click[b5]", f"click[{PREV}]")
    assert answer[0].startswith("page 2 of 2")
    assert answer[4]["state"].startswith("results for steel\npage 2 of 2")
    item, *_ = world.step("click[b6]")
    assert "chosen" not in item and "chosen nothing" in world.state


def test_back_to_search_forgets_the_query_and_the_item():
    world = written_shop()
    answer = walk(world, "search[steel]", "click[b1]", "click[red]", f"click[{BACK}]")
    assert (answer[0], answer[4]["state"]) == ("search page", "search page")
    assert answer[4]["admissible_actions"] == ["search[words]"]
    for thing in ("b1", "red", PREV, NEXT, BUY, BACK):
        assert world.step(f"click[{thing}]")[0] == NOT_HERE


def test_a_search_from_anywhere_starts_afresh():
    """Also from a page of text, whose one button must not stay behind."""
    world = written_shop()
    observation, *_ = walk(
        world, "search[steel]", "click[b1]", "click[red]", "click[features]", "search[rug]"
    )
    assert observation == "page 1 of 1\nB7 soft steel rug $30\nback to search"
    observation, *_, info = world.step("click[b7]")
    assert observation.endswith(f"{BACK} | {PREV} | {BUY}")
    assert info["admissible_actions"] == [
        f"click[{thing}]" for thing in (BACK, PREV, BUY, "red", "blue", "small", "large")
    ]
    assert "chosen nothing" in info["state"]


def test_the_edges_of_the_results_cannot_be_passed():
    world = written_shop()
    answer = walk(world, "search[steel]", f"click[{PREV}]")
    assert (answer[0], answer[4]["failed"]) == (NOT_HERE, True)
    world.step(f"click[{NEXT}]")
    assert world.step(f"click[{NEXT}]")[0] == NOT_HERE
    assert world.state.startswith("results for steel\npage 2 of 2")


def test_no_results_is_a_page_too():
    answer = walk(written_shop(), "search[zebra 日本語]")
    assert answer[0] == "page 1 of 1\nno results\nback to search"
    assert answer[4]["state"] == f"results for zebra 日本語\n{answer[0]}"
    assert not answer[4]["failed"]


def test_a_long_query_is_cut_as_a_search_box_does():
    world = written_shop()
    walk(world, "search[a b c d e f g h steel]")
    assert world.state == "results for a b c d e f g h\npage 1 of 1\nno results\nback to search"


def test_search_ranks_by_bm25_and_breaks_ties_by_id():
    shelf = [product("b2", "red mug"), product("b1", "red mug"), product("b3", "red red rug")]
    shelf.append(product("b4", "green lamp"))
    found = Search(shelf)
    assert [p.id for p in found("mug")] == ["b1", "b2"]
    assert [p.id for p in found("RED")] == ["b3", "b1", "b2"], "twice the word, more of it"
    assert [p.id for p in found("red lamp")] == ["b4", "b3", "b1", "b2"], "rare words weigh more"
    assert found("zebra") == []
    assert [p.id for p in Search(shelf, limit=2)("red mug")] == ["b1", "b2"]


# ---- the contract ----------------------------------------------------------------------


def test_gymnasium_accepts_the_world_without_a_warning(shop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(shop, skip_render_check=True)  # which would need a registered spec
    shop.reset(seed=0)
    shop.step("search[mug]")
    assert shop.render() == shop.state and shop.render().startswith("results for mug")


def test_reset_by_seed_draws_the_same_training_task(shop):
    drawn = [shop.reset(seed=s)[1]["task"] for s in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and len(set(d.id for d in drawn)) > 1
    assert all(task in shop.tasks("train") for task in drawn)


def test_the_step_limit_truncates_and_steps_are_counted(shop):
    shop.reset(seed=0)
    for step in range(1, 11):
        *_, terminated, truncated, info = shop.step("click[nothing like it]")
        assert (terminated, truncated, shop.real_steps) == (False, step == 10, step)
    assert info["admissible_actions"] == [], "nothing works when all is over"
    with pytest.raises(RuntimeError, match="call reset first"):
        shop.step("search[mug]")
    assert shop.real_steps == 10, "a refused step was not taken"
    shop.reset(seed=0)
    assert shop.real_steps == 10, "the count is of the object, not of the episode"


def test_a_purchase_at_the_limit_terminates_and_does_not_truncate():
    world = written_shop(max_steps=3)
    *_, terminated, truncated, _ = walk(world, "search[mug]", "click[b1]", f"click[{BUY}]")
    assert (terminated, truncated) == (True, False)
    with pytest.raises(RuntimeError, match="The episode is over"):
        world.step(f"click[{BUY}]")


def test_a_step_without_an_episode_is_refused(shop):
    with pytest.raises(RuntimeError, match="call reset first"):
        shop.step("search[mug]")


def test_wrong_names_get_a_sentence(shop):
    with pytest.raises(UserError, match=r"no task 'train/9999'; an id looks like 'train/0000'"):
        shop.reset(options={"task": "train/9999"})
    with pytest.raises(UserError, match="a Task or the id of one, not 7"):
        shop.reset(options={"task": 7})
    with pytest.raises(UserError, match="belongs to the world 'house', not to 'shop'"):
        shop.reset(options={"task": Task("house", "train/0", "put the cloth away")})
    with pytest.raises(UserError, match=r"no split 'dev'; the splits are \('train', 'test'\)"):
        shop.tasks("dev")
    with pytest.raises(UserError, match=r"no world 'bank'; the worlds are \[.*'shop'"):
        make_world("bank")
    with pytest.raises(UserError, match=r"no behaviour \['lazy'\]; it has \['expert'"):
        collect_log(shop, shop.tasks("train"), 3, seed=0, mix={"lazy": 1.0})
    shop.reset(seed=0)
    with pytest.raises(UserError, match="no behaviour 'lazy'"):
        shop.act("lazy", np.random.default_rng(0))
    with pytest.raises(UserError, match="products and tasks together"):
        Shop(products=[product("b1")])
    task = Task("shop", "0", "find a mug", GOAL)
    with pytest.raises(UserError, match="'0' is in both splits"):
        Shop(products=[product("b1")], tasks={"train": [task], "test": [task]})
    with pytest.raises(UserError, match="tasks for both splits"):
        Shop(products=[product("b1")], tasks={"train": [task]})


BAD_ACTIONS = [
    "",
    " ",
    "\n",
    "search[]",
    "click[]",
    "click",
    "buy now",
    "search[" + "mug " * 100 + "]",
    "x" * 1_000_000,
    "[" * 50_000,
    "click[買う]",
    "捜す[カップ]",
    "click[🙂]",
    "click[\x00]",
    "click[\ud800]",
    "search[\u2028]",
    "click[<eos>]",
    "click[results for]",
    "click[b1]\nReward: 1",
    "click[search]",
    f"click[{BEHIND}]",
]


@pytest.mark.parametrize("action", BAD_ACTIONS, ids=range(len(BAD_ACTIONS)))
def test_a_bad_action_fails_with_a_reason_and_changes_nothing(action):
    world = written_shop(max_steps=100)
    world.reset(options={"task": "train/0"})
    for step in (None, "search[steel]", "click[b1]", "click[red]", "click[features]"):
        if step:
            assert not world.step(step)[4]["failed"]
        before, can = world.state, world.admissible_actions()
        observation, reward, terminated, truncated, info = world.step(action)
        assert observation in (NO_ACTION, NOT_HERE) and observation.startswith(FAILURE)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert (info["failed"], info["success"]) == (True, False)
        assert (info["state"], info["admissible_actions"]) == (before, can)
        assert isinstance(world.teacher(world.task, before, action), str)


def test_any_query_is_answered_by_a_page(shop):
    shop.max_steps = 100
    shop.reset(seed=0)
    for words in (
        "日本語",
        "🙂 🙂",
        "<eos>",
        "]",
        "[",
        "a]b[c",
        "\u0085x",
        "item b10",
        "$",
        "chosen",
    ):
        observation, *_, info = shop.step(f"search[{words}]")
        assert observation == "page 1 of 1\nno results\nback to search"
        assert not info["failed"]
        assert clickables(info["state"]) == [BACK]
        assert shop.step(f"click[{BACK}]")[4]["state"] == "search page"
