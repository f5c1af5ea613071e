"""The web as a world: an episode reads as written, rows and seeds do not disturb each other."""

import copy
import urllib.request
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from web_walks import everything, task_like, walk

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.base import FAILURE, collect_log
from dreamgym_nb.worlds.pages import MAX_ACTION_CHARS, parse_action
from dreamgym_nb.worlds.sites import serve
from dreamgym_nb.worlds.surfers import expert_plan
from dreamgym_nb.worlds.text_browser import TextBrowser
from dreamgym_nb.worlds.vector import RealWorlds
from dreamgym_nb.worlds.web import NO_ACTION, Web
from dreamgym_nb.worlds.web_tasks import evaluate


@pytest.fixture(scope="module")
def patient():
    """Return a world with a far step limit."""
    return Web(seed=0, max_steps=100)


# ---- an episode -------------------------------------------------------------------------


def test_an_episode_reads_as_written(web):
    task = next(t for t in everything(web) if t.goal["template"] == "change products price stock")
    (_, price), (_, stock) = task.goal["changes"]
    name, record = task.goal["pages"][0], web.start.records["products"][task.goal["pages"][0]]
    first, info = web.reset(options={"task": task})
    home = (
        "home at /\n"
        "shop [1] link orders [2] link products [3] link customers [4] link reviews "
        "[5] link report\n"
        "forum [6] link boards [7] link posts [8] link users\n"
        "code [9] link projects [10] link issues [11] link merge requests [12] link files "
        "[13] link developers [14] link overview"
    )
    assert first == info["state"] == home and info["url"] == "/"
    assert info["listing"].startswith("Tab 0 (current): home\nURL: /\nStaticText 'shop'\n[1] link")
    assert info["raw"].startswith("<!DOCTYPE html>")

    web.step("click [2]")
    results, *_, info = web.step(f"type [2] [{name}] [1]")
    slug = name.replace(" ", "+")
    assert results == (
        f"products for {name} at /shop/products?q={slug}\n[1] link home\n[2] textbox search\n"
        f"[3] link {name} | {record['category']}"
    )
    assert info["state"] == f"{results}\nback: products page 1 < home"

    page, *_, info = web.step("click [3]")
    head = f"{name} at /shop/products/{name.replace(' ', '-')}\n[1] link home [2] link products\n"
    fields = "category | {category}\nprice | {price}\nstock | {stock}\nrating | {rating}\n"
    rest = "state | {state}\n[3] link reviews of {name}\n[4] button hide [5] button show\n"
    boxes = "[6] textbox price [7] textbox stock [8] button save"
    shown = head + fields + rest + boxes
    back = f"\nback: products for {name} < products page 1 < more"
    assert page == shown.format(name=name, **record)
    assert info["state"] == page + back

    line, *_, info = web.step(f"type [6] [{price}] [0]")
    assert line == f"typed {price} in [6]"
    assert info["state"] == page.replace("textbox price", f"textbox price: {price}") + back
    line, *_, info = web.step("type [7] [many] [1]")
    assert line == f"{FAILURE} refused, many is no number" and info["failed"]
    typed = f"[6] textbox price: {price} [7] textbox stock: many [8] button save"
    assert typed in info["state"], "what was typed is still there"
    line, *_, info = web.step(f"type [7] [{stock}] [0]")
    line, *_, info = web.step("click [8]")
    assert line == f"saved: {name} | price | {price}\nsaved: {name} | stock | {stock}"
    after = shown.format(name=name, **{**record, "price": price, "stock": stock})
    assert info["state"] == f"{after}{back}\n{line}"
    assert f"StaticText 'saved: {name} | price | {price}'" in info["listing"]

    elsewhere, *_, info = web.step("click [1]")
    assert elsewhere == home
    assert info["state"] == f"{home}\nback: {name} < products for {name} < more\n{line}"
    line, reward, terminated, truncated, info = web.step("stop [done]")
    assert (line, reward, terminated, truncated) == ("stopped: done", 1.0, True, False)
    assert info["success"] and info["state"] == line and info["admissible_actions"] == []


def test_each_episode_has_sites_of_its_own(web):
    task = task_like(web, "set the status of order")
    before = web.start.copy().records
    assert walk(web, task, *expert_plan(web, task))[1] == 1.0
    assert web.site.journal and web.start.records == before
    web.reset(options={"task": task})
    assert web.site.records == before and web.site.journal == []


def test_rows_of_a_vector_do_not_disturb_each_other(web):
    tasks = [task_like(web, "hide"), task_like(web, "close the issue"), task_like(web, "upvote")]
    plans = [expert_plan(web, task) for task in tasks]
    rows = RealWorlds(web, 3)
    rows.reset(options={"tasks": tasks})
    rewards, n = np.zeros(3), 0
    while any(len(plan) > n for plan in plans):
        actions = [plan[n] if len(plan) > n else None for plan in plans]
        rewards += rows.step(actions)[1]
        n += 1
    assert rewards.tolist() == [1.0, 1.0, 1.0]


def test_it_serves_the_present_episode(web):
    task = task_like(web, "hide")
    web.reset(options={"task": task})
    url = serve(web)
    address = url + web.start.url(*task.goal["record"])[1:]
    for _ in range(2):
        assert not evaluate(task.goal, web.site, "", "")
        urllib.request.urlopen(address, b"set=hide", timeout=20).close()
        assert evaluate(task.goal, web.site, "", "")
        web.reset(options={"task": task})


def test_another_browser_can_be_given_and_is_closed_with_the_world():
    class Closing(TextBrowser):
        opened = closed = 0

        def open(self, site):
            self.opened += 1
            super().open(site)

        def close(self):
            self.closed += 1

    browser = Closing()
    world = Web(0, browser=browser)
    world.reset(seed=0)
    world.step("click [1]")
    world.reset(seed=1)
    world.close()
    assert (browser.opened, browser.closed, world.browser is browser) == (2, 1, True)
    Web(0).close()
    with pytest.raises(UserError, match="would share one browser"):
        copy.copy(world)


def test_a_message_is_told_once_and_not_again_in_another_tab(web):
    """A tab still shows what its page said when it was left; the state is not told so twice."""
    task = next(t for t in web.tasks("train") if "status" in t.instruction)
    web.reset(options={"task": task})
    for action in ("goto [/code/issues/12]", "type [10] [nobody] [1]", "new_tab"):
        observation, *_ = web.step(action)
    observation, _, _, _, info = web.step("tab_focus [0]")
    assert not observation.startswith(FAILURE) and not info["failed"]
    assert "at /code/issues/12" in web.state


def test_the_step_limit_is_a_parameter():
    world = Web(0, max_steps=3)
    world.reset(seed=0)
    ends = [world.step("scroll [down]")[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    world.reset(seed=0)
    ends = [world.step(a)[2:4] for a in ("click [1]", "click [1]", "stop [x]")]
    assert ends[-1] == (True, False)


# ---- the contract -----------------------------------------------------------------------


def test_gymnasium_accepts_the_world_without_a_warning(web):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(web, skip_render_check=True)


def test_the_seed_fixes_sites_tasks_and_log():
    def made(seed):
        world = Web(seed)
        tasks = [(t, t.goal) for t in everything(world)]
        return world.start.records, tasks, collect_log(world, world.tasks("train"), 12, seed=seed)

    one, again, other = made(5), made(5), made(6)
    assert one == again
    for a, b in zip(one, other, strict=True):
        assert a != b


def test_one_site_alone_is_a_world_of_its_own():
    world = Web(1, sites=["forum"])
    assert {t.goal["template"].split()[1] for t in everything(world)} == {
        "boards",
        "posts",
        "users",
    }
    assert (
        world.reset(seed=0)[0] == "home at /\nforum [1] link boards [2] link posts [3] link users"
    )
    log = collect_log(world, world.tasks("train"), 60, seed=0)
    assert all(t.success for t in log if t.behaviour == "expert")
    known = {t.instruction: t.goal for t in everything(Web(1))}
    assert sum(known.get(t.instruction) == t.goal for t in everything(world)) > 300


def test_one_name_is_a_choice_of_one_site():
    assert [site.name for site in Web(0, sites="forum").start.sites] == ["forum"]
    with pytest.raises(UserError, match=r"not \['garden'\]"):
        Web(0, sites="garden")


def test_wrong_names_get_a_sentence(web):
    with pytest.raises(UserError, match=r"no task 'train/99999'; an id looks like 'train/0000'"):
        web.reset(options={"task": "train/99999"})
    with pytest.raises(UserError, match="belongs to the world 'shop'"):
        web.reset(options={"task": Task("shop", "train/0", "find a mug")})
    with pytest.raises(UserError, match="no split 'dev'"):
        web.tasks("dev")
    web.reset(seed=0)
    with pytest.raises(UserError, match=r"no behaviour 'lazy'; it has \['expert'"):
        web.act("lazy", np.random.default_rng(0))
    with pytest.raises(UserError, match="Name at least one of the sites"):
        Web(0, sites=["maps"])


BAD = [
    "",
    " ",
    "\n",
    "click",
    "click []",
    "click [0]",
    "click [99]",
    "click [9999]",
    "click[1]",
    "CLICK [1]",
    "type [1] [x] [1]",
    "type [99] [x] [1]",
    "type [1] [] [2]",
    "press [enter]",
    "press [ctrl+v]",
    "scroll [down]",
    "go_back now",
    "go_forward",
    "tab_focus [7]",
    "close_tab",
    "goto [nowhere]",
    "goto [file:///etc]",
    "goto [/<script>]",
    "stop now",
    "click [\x00]",
    "click [\ud800]",
    "click [٣]",
    "x" * (MAX_ACTION_CHARS + 1),
    "[" * 50_000,
    "search[mug]",
    "<eos>",
    "stop [" + "a" * MAX_ACTION_CHARS + "]",
]


@pytest.mark.parametrize("action", BAD, ids=range(len(BAD)))
def test_a_bad_action_fails_with_a_reason_and_changes_nothing(patient, action):
    world = patient
    world.reset(options={"task": "train/0000"})
    for step in (None, "click [2]", "click [3]", "type [6] [4] [1]", "goto [/nowhere]"):
        if step:
            assert not world.step(step)[4]["failed"]
        before, can = world.state, world.admissible_actions()
        observation, reward, terminated, truncated, info = world.step(action)
        assert observation.startswith(FAILURE) and len(observation) > len(FAILURE) + 3
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert (info["failed"], info["success"]) == (True, False)
        assert (info["state"], info["admissible_actions"]) == (before, can)
        assert isinstance(world.teacher(world.task, before, action), str)
        if parse_action(action) is None:
            assert observation == NO_ACTION
            assert world.teacher(world.task, before, action) == "this is no action"


def test_what_is_admissible_works(web):
    rng = np.random.default_rng(0)
    for _ in range(25):
        _, info = web.reset(options={"task": everything(web)[int(rng.integers(2000))]})
        over = False
        while not over:
            choices = info["admissible_actions"]
            assert all(parse_action(a) for a in choices)
            action = str(rng.choice([a for a in choices if not a.startswith("stop")]))
            *_, terminated, truncated, info = web.step(action.replace("[url]", "[/code/files]"))
            if info["failed"]:  # a form may still refuse what is typed or not typed
                assert "refused, " in web.observation
            over = terminated or truncated
