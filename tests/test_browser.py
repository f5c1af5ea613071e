"""Real pages in a real Chromium: MiniWoB++ through BrowserGym, behind the contract of a world."""

import asyncio
import copy
import re
import socket
import time

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.base import FAILURE, collect_log, play
from dreamgym_nb.worlds.browser_env import register
from dreamgym_nb.worlds.browser_tasks import BrowserTasks, miniwob, miniwob_url
from dreamgym_nb.worlds.browser_thread import require_browser
from dreamgym_nb.worlds.vector import RealWorlds

KINDS = (
    "click-test click-button click-link click-checkboxes click-option enter-text "
    "enter-password login-user focus-text choose-list"
).split()


@pytest.fixture(scope="module")
def world():
    try:
        require_browser()
        register("browsergym/miniwob.click-test")
        miniwob_url()
    except UserError as e:
        pytest.skip(f"Real pages are not tested here: {e}")
    with_pages = miniwob(KINDS, train=2, test=1)
    yield with_pages
    with_pages.close()


def listed(observation, role=None):
    """(id, role, name) of the lines of a listing, in order."""
    found = re.findall(r"^ *\[(\w+)\] (\w+) '(.*?)'(?: \w+: .*)?$", observation, re.MULTILINE)
    return [(id, r, name) for id, r, name in found if role in (None, r)]


def id_of(observation, role, name):
    return next(id for id, r, n in listed(observation, role) if n.lower() == name.lower())


def quoted(instruction):
    return re.findall(r'"(.*?)"', instruction)


def scripted(kind, instruction, page):
    """The actions that solve a task, from its instruction and first listing alone."""
    boxes = [id for id, _, _ in listed(page, "textbox")]
    if kind == "click-test":
        return [f"click [{listed(page, 'button')[0][0]}]"]
    if kind == "click-button":
        return [f"click [{id_of(page, 'button', quoted(instruction)[0])}]"]
    if kind == "click-link":
        return [f"click [{id_of(page, 'StaticText', quoted(instruction)[0])}]"]
    if kind == "focus-text":
        return [f"click [{boxes[0]}]"]
    if kind == "choose-list":
        wanted = re.fullmatch(r"Select (.*) from the list and click Submit\.", instruction)[1]
        return [f"click [{id_of(page, 'option', wanted)}]", submit(page)]
    if kind in ("click-checkboxes", "click-option"):
        wanted = re.fullmatch(r"Select (.*) and click Submit\.", instruction)[1].split(", ")
        role = "checkbox" if kind == "click-checkboxes" else "radio"
        wanted = [] if wanted == ["nothing"] else wanted
        return [f"click [{id_of(page, role, w)}]" for w in wanted] + [submit(page)]
    texts = quoted(instruction)
    if kind == "enter-password":
        texts = texts[:1] * 2
    return [f"type [{b}] [{t}] [0]" for b, t in zip(boxes, texts, strict=False)] + [submit(page)]


def submit(page):
    name = listed(page, "button")[0][2]
    assert name in ("Submit", "Login")
    return f"click [{id_of(page, 'button', name)}]"


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_that_reads_the_listing_solves(world, kind):
    observation, info = world.reset(options={"task": f"miniwob.{kind}/1"})
    assert observation.startswith("Tab 0 (current): ") and info["admissible_actions"]
    instruction = info["task"].instruction
    assert len(instruction.split()) > 2
    actions = scripted(kind, instruction, observation)
    steps = world.real_steps
    for i, action in enumerate(actions):
        last = i == len(actions) - 1
        observation, reward, terminated, truncated, info = world.step(action)
        assert (reward, terminated, truncated) == (float(last), last, False)
        assert info["success"] == last and not info["failed"]
    assert world.real_steps == steps + len(actions)


@pytest.mark.parametrize(
    "kind, wrong",
    [
        ("click-button", lambda i, p: [f"click [{_other_button(i, p)}]"]),
        ("enter-text", lambda i, p: [f"type [{listed(p, 'textbox')[0][0]}] [no] [0]", submit(p)]),
        ("login-user", lambda i, p: [submit(p)]),
        ("choose-list", lambda i, p: ["stop [done]"]),
    ],
)
def test_a_wrong_deed_gives_nothing(world, kind, wrong):
    observation, info = world.reset(options={"task": f"miniwob.{kind}/1"})
    for action in wrong(info["task"].instruction, observation):
        observation, reward, terminated, _, info = world.step(action)
        assert reward == 0.0 and not info["failed"]
    assert terminated and not info["success"]


def _other_button(instruction, page):
    wanted = quoted(instruction)[0].lower()
    return next(id for id, _, name in listed(page, "button") if name.lower() != wanted)


def test_what_is_typed_and_checked_shows_in_the_listing(world):
    page, info = world.reset(options={"task": "miniwob.enter-text/1"})
    box = listed(page, "textbox")[0][0]
    page, *_ = world.step(f"type [{box}] [it's 5 o'clock] [0]")
    assert f"[{box}] textbox '' value: 'it's 5 o'clock'" in page
    page, info = world.reset(options={"task": "miniwob.click-checkboxes/1"})
    box = listed(page, "checkbox")[0][0]
    assert re.search(rf"\[{box}\] checkbox '\w+' checked: false", page)
    page, *_ = world.step(f"click [{box}]")
    assert re.search(rf"\[{box}\] checkbox '\w+' checked: true", page)


def test_the_impossible_is_told_and_changes_nothing(world):
    page, _ = world.reset(options={"task": "miniwob.enter-text/1"})
    button, box = listed(page, "button")[0][0], listed(page, "textbox")[0][0]
    for action in (
        "",
        "open the door",
        "click [9999]",
        f"type [{button}] [x] [0]",  # a button holds no text
        f"select [{box}] [x]",
        "tab_focus [7]",
        "press [NoSuchKey]",
        "goto [file:///etc/passwd]",
    ):
        before = world.state
        observation, reward, terminated, _, info = world.step(action)
        assert observation.startswith(FAILURE) and info["failed"], action
        assert (reward, terminated, world.state) == (0.0, False, before)
        assert info["admissible_actions"]


def test_a_seed_makes_the_page(world):
    first, info = world.reset(options={"task": "miniwob.click-checkboxes/0"})
    other, _ = world.reset(options={"task": "miniwob.click-checkboxes/1"})
    again, same = world.reset(options={"task": "miniwob.click-checkboxes/0"})
    assert first == again and info["task"].instruction == same["task"].instruction
    assert first != other


def test_tasks_read_their_instruction_from_the_page(world):
    train, test = world.tasks("train"), world.tasks("test")
    assert (len(train), len(test)) == (2 * len(KINDS), len(KINDS))
    steps = world.real_steps
    page, _ = world.reset(options={"task": "miniwob.enter-text/0"})
    assert train[1].instruction == "Click the button." and train[1].id == "miniwob.click-test/1"
    # Looking at another task does not disturb the episode.
    assert world.state == page and world.real_steps == steps
    assert not {t.id for t in train.bare} & {t.id for t in test.bare}
    with pytest.raises(UserError, match="no task"):
        world.task_by_id("miniwob.click-test/99")


def test_a_running_loop_is_no_obstacle(world):
    async def in_jupyter():
        page, info = world.reset(options={"task": "miniwob.click-test/0"})
        return world.step(scripted("click-test", info["task"].instruction, page)[0])

    _, reward, terminated, _, _ = asyncio.run(in_jupyter())
    assert (reward, terminated) == (1.0, True)


def test_rows_have_tabs_of_their_own(world):
    tasks = [world.task_by_id(f"miniwob.enter-text/{i}") for i in (0, 1)]
    rows = RealWorlds(world, 2)
    pages, _ = rows.reset(options={"tasks": tasks})
    ids = [listed(page, "textbox")[0][0] for page in pages]
    pages, *_ = rows.step([f"type [{ids[0]}] [left] [0]", f"type [{ids[1]}] [right] [0]"])
    assert "'left'" in pages[0] and "'right'" in pages[1] and "'left'" not in pages[1]
    for row in rows.worlds:
        row.close()
    assert world.reset(options={"task": "miniwob.click-test/0"})[0]  # the others are not disturbed


def test_episodes_are_recorded_like_those_of_any_world(world):
    task = world.task_by_id("miniwob.click-test/0")
    solved = play(world, task, lambda w: "click [13]", id="x", behaviour="expert")
    assert (
        solved.success
        and solved.transitions[-1].reasoning == "the page has [13] button 'Click Me!'"
    )
    walks = collect_log(world, [task], 2, seed=0)
    assert len(walks) == 2 and all(t.behaviour == "random" for t in walks)
    assert world.teacher(task, solved.state, "click [99]") == "[99] is not on the page"
    assert world.teacher(task, solved.state, "sing") == "this is no action"


def open_ended(start_url, **options):
    goal = {"env": "browsergym/openended", "kwargs": {"start_url": start_url, "goal": "Look."}}
    return BrowserTasks({"train": [Task("browser", "open", "Look.", goal)]}, **options)


PAGE = "data:text/html,<title>Trouble</title><button onclick='{}'>Go</button>"


def test_a_page_that_hangs_truncates_and_the_next_episode_starts_afresh(world):
    with open_ended(PAGE.format("while(true){}")) as hanging:
        page, _ = hanging.reset(options={"task": "open"})
        hanging.timeout = 3.0
        button = id_of(page, "button", "Go")
        observation, reward, terminated, truncated, info = hanging.step(f"click [{button}]")
        assert observation.startswith(FAILURE) and "did not answer" in observation
        assert (reward, terminated, truncated, info["crashed"]) == (0.0, False, True, True)
        with pytest.raises(RuntimeError, match="call reset"):
            hanging.step("go_back")
        hanging.timeout = 60.0
        assert hanging.reset(options={"task": "open"})[0] == page
        assert world.reset(options={"task": "miniwob.click-test/0"})[0]  # it lost its tabs too


@pytest.mark.parametrize("when", ["before the action", "during the action"])
def test_a_page_that_crashes_truncates(world, when):
    world.reset(options={"task": "miniwob.click-test/0"})
    env = world._box[0].env
    if when == "before the action":
        from playwright.sync_api import Error

        with pytest.raises(Error):
            world._thread.call(lambda: env.page.goto("chrome://crash"))
    else:
        env.action_mapping = lambda action: "page.goto('chrome://crash')"
    observation, reward, _, truncated, info = world.step("click [13]")
    assert observation == f"{FAILURE} the page crashed"
    assert (reward, truncated, info["crashed"]) == (0.0, True, True)
    assert info["admissible_actions"] == []
    assert world.reset(options={"task": "miniwob.click-test/0"})[0]


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/"


def test_a_site_that_is_not_there_is_a_sentence(world):
    with open_ended(free_address()) as nowhere:
        with pytest.raises(UserError, match="did not open.*CONNECTION_REFUSED"):
            nowhere.reset(options={"task": "open"})


def test_an_address_that_does_not_answer_shows_what_is_left_and_why(world):
    with open_ended(PAGE.format("")) as somewhere:
        somewhere.reset(options={"task": "open"})
        observation, reward, terminated, _, info = somewhere.step(f"goto [{free_address()}]")
        assert observation.split("\n")[0] != "Tab 0 (current): Trouble"
        assert re.search(r"\(the action failed: .*ERR_CONNECTION_REFUSED.*\)$", observation)
        assert (reward, terminated, info["failed"]) == (0.0, False, False)


def test_an_unknown_task_is_a_sentence(world):
    with miniwob(["no-such-task"]) as strange:
        with pytest.raises(UserError, match="no task 'browsergym/miniwob.no-such-task'"):
            strange.reset(options={"task": "miniwob.no-such-task/0"})
    with pytest.raises(UserError, match="both splits"):
        same = Task("browser", "a", "b", {"env": "browsergym/openended"})
        BrowserTasks({"train": [same], "test": [same]})


def test_closing_ends_the_browser_and_a_world_thrown_away_leaves_it(world):
    world.close()  # the last user; every other test's world was closed
    gone = world._thread
    until(lambda: not gone.alive and not gone.processes())
    assert world.reset(options={"task": "miniwob.click-test/0"})[0]  # it opens again by itself
    thread = world._thread
    assert thread is not gone and any("chrom" in p.name() for p in thread.processes())
    twin = copy.copy(world)
    twin.reset(options={"task": "miniwob.click-test/1"})
    box = twin._box
    del twin
    until(lambda: not box)
    assert world.step("click [13]")[1] == 1.0


def until(condition, seconds=20):
    """Wait for what another thread is about to do."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
