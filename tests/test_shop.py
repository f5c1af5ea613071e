"""The shop is exact: its grammar, pages, rewards, splits, abstract states and teacher."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, transitions_of
from dreamgym_nb.worlds import FAILURE, collect_log, make_world, play
from dreamgym_nb.worlds.catalogue import Product, Search, judge
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
    read_chosen,
)

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


def walk(world, *actions):
    """Start the first training task, do the actions, return the last answer."""
    world.reset(options={"task": world.tasks("train")[0]})
    for action in actions:
        answer = world.step(action)
    return answer


def wander(world, episodes, seed):
    """Random walks, failures and searches from anywhere included; yields before each action."""
    rng = np.random.default_rng(seed)
    for n in range(episodes):
        world.reset(options={"task": world.tasks("train")[n % len(world.tasks("train"))]})
        over = False
        while not over:
            kinds = ("random", "random", "careless", "invalid", "expert")
            action = world.act(str(rng.choice(kinds)), rng)
            if rng.random() < 0.15:
                action = world.act("random", rng)
                word = rng.choice(["steel mug", "mug", "zebra", "results for mug"])
                action = f"search[{word}]"
            yield action
            *_, terminated, truncated, _ = world.step(action)
            over = terminated or truncated


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


# ---- buying and WebShop's reward rule --------------------------------------------------


def test_a_right_purchase_ends_the_episode_with_reward_one():
    answer = walk(
        written_shop(), "search[mug]", "click[b1]", "click[small]", "click[red]", f"click[{BUY}]"
    )
    observation, reward, terminated, truncated, info = answer
    assert (observation, reward, terminated, truncated) == ("you bought B1", 1.0, True, False)
    assert (info["success"], info["failed"], info["score"]) == (True, False, 1.0)
    assert (info["state"], info["admissible_actions"]) == ("you bought B1", [])


@pytest.mark.parametrize(
    ("actions", "score"),
    [
        (("click[b1]",), 2 / 4),  # attribute and price, no option
        (("click[b1]", "click[red]"), 3 / 4),
        (("click[b1]", "click[red]", "click[large]"), 3 / 4),
        (("click[b1]", "click[red]", "click[small]", "click[blue]"), 3 / 4),  # changed again
    ],
)
def test_a_wrong_purchase_ends_the_episode_without_reward(actions, score):
    _, reward, terminated, truncated, info = walk(
        written_shop(), "search[mug]", *actions, f"click[{BUY}]"
    )
    assert (reward, terminated, truncated, info["success"]) == (0.0, True, False, False)
    assert info["score"] == pytest.approx(score)


def test_options_of_one_item_are_not_carried_to_another():
    _, reward, *_, info = walk(
        written_shop(),
        "search[mug]",
        "click[b1]",
        "click[red]",
        "click[small]",
        f"click[{PREV}]",
        "click[b2]",
        f"click[{BUY}]",
    )
    assert (reward, info["score"]) == (0.0, pytest.approx(2 / 4))


def verdict_of(goal=GOAL, chosen=None, **changed):
    """Judge a mug that meets `GOAL` but for what is changed."""
    right = {"color": "red", "size": "small"} if chosen is None else chosen
    return judge(product("b1", **changed), right, goal)


def test_the_reward_counts_attributes_options_and_price_alike():
    assert verdict_of().score == 1.0
    assert verdict_of(price=20.01).score == pytest.approx(3 / 4)
    assert verdict_of(attributes=frozenset()).score == pytest.approx(3 / 4)
    assert verdict_of(chosen={}).score == pytest.approx(2 / 4)
    assert verdict_of(chosen={"color": "small", "size": "red"}).score == pytest.approx(2 / 4)
    assert verdict_of(chosen={}, price=99.0, attributes=frozenset()).score == 0.0
    both = {**GOAL, "attributes": ["steel", "bamboo"]}
    verdict = verdict_of(both)
    assert verdict.score == pytest.approx(4 / 5)
    assert verdict.attributes == {"steel": True, "bamboo": False}
    assert verdict.options == {"color red": True, "size small": True}
    assert verdict.price is True


def test_the_type_multiplies_all_the_rest():
    """r_type: 1, 0.5, 0.1 or 0, as in WebShop's get_type_reward."""
    unlike = {"query": "cup", "category": ("all", "cup")}

    def with_nouns(n, shared, **more):
        goal = {**GOAL, "nouns": [f"n{i}" for i in range(n)]}
        nouns = frozenset(f"n{i}" for i in range(shared))
        return verdict_of(goal, nouns=nouns, **more)

    assert with_nouns(5, 1).type == 1.0, "same kind"
    assert with_nouns(5, 1, query="cup", category=("all", "mug", "x")).type == 1.0, "two categories"
    assert with_nouns(4, 1, **unlike).type == 1.0, "more than 0.2 of the nouns"
    assert with_nouns(5, 1, **unlike).type == 0.5, "0.2 of the nouns is not more than 0.2"
    assert with_nouns(11, 1).type == 0.1, "fewer than a tenth, though the kind is the same"
    assert with_nouns(10, 1, **unlike).type == 0.5
    assert with_nouns(5, 0).type == 0.0
    assert with_nouns(5, 1, **unlike).score == pytest.approx(0.5)
    assert with_nouns(11, 1).score == pytest.approx(0.1)
    assert with_nouns(5, 0).score == 0.0
    assert verdict_of({**GOAL, "nouns": []}).type == 1.0, "no nouns: the kind decides"
    assert verdict_of({**GOAL, "nouns": []}, **unlike).type == 0.5


# ---- tasks -----------------------------------------------------------------------------


def test_no_test_task_asks_for_what_a_training_task_asked_for(shop):
    def wanted(split):
        return {(t.goal["query"], *sorted(t.goal["options"].items())) for t in shop.tasks(split)}

    train, test = shop.tasks("train"), shop.tasks("test")
    assert len(train) > 500 and len(test) > 100
    assert wanted("train").isdisjoint(wanted("test"))
    assert {t.instruction for t in train}.isdisjoint({t.instruction for t in test})
    ids = [t.id for t in (*train, *test)]
    assert len(set(ids)) == len(ids)
    assert all(t.id.startswith("train/") for t in train)
    assert all(t.id.startswith("test/") for t in test)


def test_an_instruction_says_all_that_is_judged(shop):
    for task in (*shop.tasks("train")[:50], *shop.tasks("test")[:50]):
        goal = task.goal
        for word in (*goal["attributes"], goal["query"], *goal["options"].values()):
            assert re.search(rf"\b{word}\b", task.instruction)
        assert task.instruction.endswith(f"at most ${goal['price_upper']:g}")


def test_every_task_can_be_won(shop):
    for task in (*shop.tasks("train"), *shop.tasks("test")):
        options = task.goal["options"]
        winners = [
            p
            for p in shop.products
            if judge(p, options, task.goal).score == 1.0
            and all(value in p.options[name] for name, value in options.items())
        ]
        assert winners, task


def test_the_seed_fixes_catalogue_tasks_and_log():
    def everything(seed):
        world = make_world("shop", seed=seed)
        tasks = [(t, t.goal) for split in ("train", "test") for t in world.tasks(split)]
        return world.products, tasks, collect_log(world, world.tasks("train"), 15, seed=seed)

    one, again, other = everything(5), everything(5), everything(6)
    assert one == again
    for a, b in zip(one, other, strict=True):
        assert a != b


# ---- the contract ----------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_gymnasium_accepts_the_world_without_a_warning(shop):
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


# ---- the abstract state ------------------------------------------------------------------


def truth(world):
    """The abstract state written down from the engine itself, without `fold`."""
    if world._item is None and world._page == 0:
        return "search page"
    item, text, world._item, world._text = world._item, world._text, None, None
    results = f"results for {world._query}\n{world._results_page()}"
    world._item = item
    if item is None:
        return results
    chosen = [f"{n} {world._chosen[n]}" for n in world._item.options if n in world._chosen]
    state = f"{world._item_page()}\nchosen {' and '.join(chosen) or 'nothing'}{BEHIND}{results}"
    world._text = text
    if text is None:
        return state
    head = f"{text} of {world._item.id}\n{dict(world._item.texts)[text]}\n{PREV}"
    return f"{head}{BEHIND}{state}"


@pytest.mark.parametrize("make", [lambda: Shop(seed=1), written_shop], ids=["made", "written"])
def test_on_every_page_the_state_says_what_the_engine_knows(make):
    world, pages = make(), Counter()
    for _ in wander(world, 150, seed=0):
        assert world.state == truth(world)
        head = world.state.partition(BEHIND)[0]
        assert clickables(head) == world._clickables()
        assert [a for a in world.admissible_actions() if a.startswith("click")] == [
            f"click[{thing}]" for thing in world._clickables()
        ]
        if head.startswith("item "):
            assert read_chosen(head) == world._chosen
        pages[head.split()[0]] += 1
    texts = {"description", "features"} if world.by_id.get("b1") else set()
    assert set(pages) == {"search", "results", "item"} | texts and min(pages.values()) > 5


def test_an_episode_folds_from_its_observations_alone(log):
    stranger = make_world("shop", seed=99)
    for trajectory in log:
        state = stranger.fold("", "", trajectory.observation)
        assert state == trajectory.state
        for t in trajectory.transitions:
            assert t.state == state
            before = (state, t.action, t.observation)
            state = stranger.fold(*before)
            assert state == t.next_state == stranger.fold(*before), "the same each time"
    assert stranger.task is None and stranger.state == "", "and nothing was kept"


def test_fold_takes_any_observation_that_a_dream_may_write(transitions):
    """A dream says what it likes, and in any order; the state is text, never an error."""
    fold = make_world("shop").fold
    said = sorted({t.observation for t in transitions[:60]}) + [
        "chosen ",
        "chosen",
        "chosen color",
        "item ",
        "item b10",
        "page ",
        "you bought",
        " of ",
        "x of y",
        "behind:",
        f"item b10 x $1\ncolor: red\n{BACK}{BEHIND}item b10",
        f"item b10{BEHIND}x",
        f"page 1 of 1{BEHIND}item b10",
        f"x of b10{BEHIND}x",
        "日本語\n\n",
    ]
    actions = ["", "click[b10]", "search[mug]", "click[< prev]", "click[red]", "x"]
    states = {fold("", "", observation) for observation in said}
    states |= {fold(s, a, o) for s in sorted(states) for a in actions for o in said}
    rng = np.random.default_rng(0)
    for state in sorted(states)[:: max(1, len(states) // 1500)]:
        for observation in rng.choice(said, 12):
            assert isinstance(fold(state, actions[rng.integers(6)], str(observation)), str)


def test_an_item_that_is_dreamt_on_an_item_page_lies_on_top_of_it():
    """The engine never leads from item to item, a dream may."""
    world = written_shop()
    walk(world, "search[steel]", "click[b1]", "click[red]")
    said = f"item B2 plain steel mug $20\ncolor: red blue\n{BACK} | {PREV} | {BUY}"
    state = world.fold(world.state, "click[b2]", said)
    assert state == f"{said}\nchosen nothing{BEHIND}{world.state}"


# ---- options of any wording --------------------------------------------------------------

PIECES = ["red", "a", "5", " ", "  ", "\xa0", "/", " / ", "|", " | ", ":", ": ", '"', "'", "\\"]
PIECES += ["\n", "\t", "\u2028", " and ", "and", "nothing", "chosen", "chosen ", "behind:", BEHIND]
PIECES += [BACK, BUY, PREV, "item ", "page ", "$", "]", "日本", "🙂", "\\n", "results for "]


def odd_shop(seed, products=40):
    """A shop whose options have any names and any values."""
    rng = np.random.default_rng(seed)

    def words(least):
        return "".join(rng.choice(PIECES, int(rng.integers(least, 4))))

    shelf = []
    for n in range(products):
        names = {words(0) for _ in range(int(rng.integers(1, 4)))}
        options = {name: tuple(words(0) for _ in range(int(rng.integers(0, 4)))) for name in names}
        title = f"mug {words(1)}".strip()
        shelf.append(product(f"B{n}", title, options=options, nouns=frozenset()))
    tasks = {"train": [Task("shop", "train/0", "find a mug", GOAL)], "test": []}
    return Shop(products=shelf, tasks=tasks, page_size=50)


@pytest.mark.parametrize("seed", range(12))
def test_options_of_any_wording_are_read_back_as_the_engine_knows_them(seed):
    world, clicks = odd_shop(seed), 0
    for item in world.products:
        world.reset(options={"task": "train/0"})
        world.step("search[mug]")
        world.step(f"click[{item.id}]")
        state, values = world.state, [v for vs in item.options.values() for v in vs]
        for value in [v for v in values if v not in world._buttons()]:
            state = world.fold(state, "", world._click(value))
            head = state.partition(BEHIND)[0]
            assert read_chosen(head) == world._chosen
            assert clickables(head) == world._clickables()
            assert list(read_chosen(head)) == [n for n in item.options if n in world._chosen]
            clicks += 1
        assert world.fold(state, "", world._press(PREV)).startswith("results for mug\npage 1")
    assert clicks > 50


def test_where_words_do_not_do_options_are_told_apart_by_slashes():
    many = {"fit type": ("women", "men"), "size": ("5 women | 3.5 men", '20" x 20"', "a/b")}
    world = written_shop(products=[product("B1", options=many), product("B2")])
    answer = walk(world, "search[mug]", "click[b1]")
    assert answer[0].split("\n")[1:3] == [
        "fit type / women / men",
        'size / 5 women | 3.5 men / 20" x 20" / "a\\u002fb"',
    ]
    assert "click[a/b]" in answer[4]["admissible_actions"]
    world.step("click[men]")
    observation, *_, info = world.step("click[a/b]")
    assert observation == 'chosen / size / "a\\u002fb"'
    assert 'chosen / fit type / men / size / "a\\u002fb"\n' in info["state"]
    trace = world.teacher(world.task, world.state, 'click[20" x 20"]')
    assert trace.endswith(
        f'{BUY} / women / men / 5 women | 3.5 men / 20" x 20" / "a\\u002fb"\n20" x 20" is there'
    )
    walk(world, "search[mug]", "click[b2]", "click[red]")
    assert "\ncolor / red / blue\n" in world.state, "all pages of a shop are written alike"
    assert world.observation == "chosen / color / red"


def test_where_two_options_share_a_value_the_last_is_chosen():
    world = written_shop(
        products=[product("B1", options={"lid": ("red",), "cup": ("red", "blue")})]
    )
    *_, info = walk(world, "search[mug]", "click[b1]", "click[red]")
    assert "chosen cup red\n" in info["state"]
    assert info["admissible_actions"].count("click[red]") == 1


# ---- the teacher -------------------------------------------------------------------------


def test_the_teacher_lists_the_page_and_says_whether_the_thing_is_there():
    world = written_shop()
    task = world.tasks("train")[0]
    walk(world, "search[rug]")
    results = f"the page offers {BACK} b7"
    teach = world.teacher
    assert teach(task, world.state, "click[b7]") == f"{results}\nb7 is there"
    assert teach(task, world.state, f"click[{BUY}]") == f"{results}\nbuy now is not there"
    assert teach(task, world.state, "click[B1]") == f"{results}\nb1 is not there"
    assert teach(task, world.state, "search[x]") == "the shop lists what matches the words"
    assert teach(task, world.state, "buy") == "this is no action"
    nothing = "the page offers nothing\nb7 is not there"
    assert teach(task, "search page", "click[b7]") == nothing
    world.step("click[b7]")
    item = f"the page offers {BACK} {PREV} {BUY} red blue small large"
    assert teach(task, world.state, "click[red]") == f"{item}\nred is there"
    assert teach(task, world.state, "click[b7]") == f"{item}\nb7 is not there", "it lies behind"


def test_the_teacher_says_wanted_against_got():
    world = written_shop()
    task = world.tasks("train")[0]
    walk(world, "search[rug]", "click[b7]", "click[red]")
    assert world.teacher(task, world.state, f"click[{BUY}]").split("\n") == [
        "wanted mug got rug no",
        "wanted steel got soft steel yes",
        "wanted color red got red yes",
        "wanted size small got nothing no",
        "wanted at most $20 got $30 no",
    ]


def test_the_trace_of_a_purchase_decides_its_reward():
    """Success is exactly: no line of the trace ends in no."""
    world = make_world("shop", seed=2)
    seen = Counter()
    for t in transitions_of(collect_log(world, world.tasks("train"), 400, seed=1)):
        if not t.terminated:
            assert t.reward == 0.0 and "wanted" not in t.reasoning
            assert t.failed == ("not there" in t.reasoning or "no action" in t.reasoning)
            continue
        marks = [line.split()[-1] for line in t.reasoning.split("\n")]
        assert set(marks) <= {"yes", "no"} and len(marks) in (5, 6)
        assert (t.reward == 1.0) == ("no" not in marks)
        seen[t.reward] += 1
    assert min(seen[0.0], seen[1.0]) > 50


# ---- the behaviours ----------------------------------------------------------------------


def acting(behaviour):
    """A policy for `play`: that behaviour, with a generator of its own."""
    rng = np.random.default_rng(0)
    return lambda world: world.act(behaviour, rng)


def log_of(behaviour, episodes=80):
    world = make_world("shop", seed=4)
    tasks = world.tasks("train")
    log = collect_log(world, tasks, episodes, seed=1, mix={behaviour: 1.0})
    assert {t.behaviour for t in log} == {behaviour}
    assert world.real_steps == len(transitions_of(log)), "the log was paid for"
    return log


def failed_share(log):
    steps = transitions_of(log)
    return sum(t.failed for t in steps) / len(steps)


def test_the_expert_nearly_always_wins_and_never_fails():
    for split in ("train", "test"):
        world = make_world("shop", seed=4)
        log = [
            play(world, task, acting("expert"), id=task.id, behaviour="expert")
            for task in world.tasks(split)[:100]
        ]
        assert sum(t.success for t in log) >= 95
        assert failed_share(log) == 0.0
        bought = [t.transitions[-1] for t in log if t.transitions[-1].terminated]
        assert all(t.reward == 1.0 for t in bought), "it buys nothing that is wrong"


def test_the_careless_buy_and_are_often_wrong():
    log = log_of("careless")
    bought = [t for t in log if t.transitions[-1].terminated]
    wins = sum(t.success for t in bought) / len(bought)
    assert len(bought) > 0.8 * len(log) and 0.05 < wins < 0.6


def test_the_exploring_win_less_than_the_expert_and_do_not_fail():
    log = log_of("exploring")
    assert 0.2 < sum(t.success for t in log) / len(log) < 0.95
    assert failed_share(log) == 0.0


def test_the_random_do_what_works_and_rarely_win():
    log = log_of("random")
    assert failed_share(log) == 0.0
    assert sum(t.success for t in log) / len(log) < 0.1
    actions = [t.action for t in transitions_of(log)]
    for thing in (BACK, PREV, NEXT, BUY, "red", "small"):
        assert f"click[{thing}]" in actions


def test_the_invalid_fail_at_about_half_of_their_actions():
    log = log_of("invalid")
    assert 0.35 < failed_share(log) < 0.65
    said = Counter(t.observation for t in transitions_of(log) if t.failed)
    assert set(said) == {NOT_HERE, NO_ACTION} and min(said.values()) >= 5
    wrong = {t.action for t in transitions_of(log) if t.failed}
    assert {f"click[{BUY}]", "click[red]", ""} <= wrong


def test_the_usual_log_holds_all_behaviours_in_their_shares(shop):
    log = collect_log(shop, shop.tasks("train"), 400, seed=0)
    assert sum(shop.behaviours.values()) == pytest.approx(1.0)
    counts = Counter(t.behaviour for t in log)
    for name, share in shop.behaviours.items():
        assert counts[name] / 400 == pytest.approx(share, abs=0.08)
    ends = [t.transitions[-1] for t in log if t.transitions[-1].terminated]
    right = sum(t.reward for t in ends) / len(ends)
    assert 0.3 < right < 0.7, "about half of the purchases go wrong"
    assert all(t.truncated != t.transitions[-1].terminated for t in log)
    assert len({t.id for t in log}) == 400


def test_a_recorded_step_holds_what_was_known_before_it(log):
    for trajectory in log:
        turns = trajectory.turns
        for n, t in enumerate(trajectory.transitions):
            assert t.history == tuple(turns[:n])
            assert (t.task, t.trajectory, t.source) == (trajectory.task, trajectory.id, "real")
        states = [trajectory.state] + [t.next_state for t in trajectory.transitions]
        assert [t.state for t in trajectory.transitions] == states[:-1]
        assert not any(t.terminated for t in trajectory.transitions[:-1])


def test_every_generated_page_fits_the_space(shop):
    for task, behaviour in itertools.product(shop.tasks("test")[:10], shop.behaviours):
        played = play(shop, task, acting(behaviour), id="x", behaviour=behaviour)
        assert all(shop.observation_space.contains(t.observation) for t in played.transitions)
