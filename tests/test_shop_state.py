"""What agents and models are told of the shop: abstract states, odd options, the teacher."""

from collections import Counter

import numpy as np
import pytest
from shop_by_hand import GOAL, product, written_shop
from walks import walk

from dreamgym_nb.experience import Task, transitions_of
from dreamgym_nb.worlds import collect_log, make_world
from dreamgym_nb.worlds.shop import BACK, BEHIND, BUY, PREV, Shop, clickables, read_chosen


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
