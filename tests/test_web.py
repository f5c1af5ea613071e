"""The web world is exact: goals, checks, abstract states, teacher and behaviours agree."""

import re
import urllib.request
from collections import Counter, defaultdict

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, transitions_of
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.worlds import surfers
from dreamgym_nb.worlds.base import FAILURE, collect_log
from dreamgym_nb.worlds.pages import MAX_ACTION_CHARS, compact, parse_action
from dreamgym_nb.worlds.sites import SITES, serve
from dreamgym_nb.worlds.surfers import expert_plan
from dreamgym_nb.worlds.text_browser import TextBrowser
from dreamgym_nb.worlds.vector import RealWorlds
from dreamgym_nb.worlds.web import NO_ACTION, Web
from dreamgym_nb.worlds.web_state import fold, read
from dreamgym_nb.worlds.web_tasks import evaluate, normal, same_page, template_name
from dreamgym_nb.worlds.web_teacher import verdict

WORD = re.compile(r" ?(?:\$?[a-zA-Z0-9]+|\n|[^\sa-zA-Z0-9])")  # as the tiny tokenizer cuts


@pytest.fixture(scope="module")
def web():
    return Web(seed=0)


@pytest.fixture(scope="module")
def patient():
    """Return a world with a far step limit."""
    return Web(seed=0, max_steps=100)


@pytest.fixture(scope="module")
def log(web):
    return collect_log(web, web.tasks("train"), 300, seed=5)


@pytest.fixture(scope="module")
def transitions(log):
    return transitions_of(log)


def everything(world):
    return [*world.tasks("train"), *world.tasks("test")]


def by_template(world):
    """Return the tasks of each template."""
    found = defaultdict(list)
    for task in everything(world):
        found[task.goal["template"]].append(task)
    return found


def task_like(world, start):
    """Return the first task whose instruction starts so."""
    return next(t for t in everything(world) if t.instruction.startswith(start))


def walk(world, task, *actions):
    """Start a task, do the actions, return the last answer."""
    world.reset(options={"task": task})
    for action in actions:
        answer = world.step(action)
    return answer


# ---- tasks ------------------------------------------------------------------------------


def test_there_are_many_templates_of_every_kind_on_every_site():
    templates = [t for site in SITES.values() for t in site.templates]
    names = [template_name(t) for t in templates]
    assert len(names) == len(set(names)) == 125
    for site in SITES.values():
        kinds = Counter(template_name(t).split()[0] for t in site.templates)
        assert set(kinds) == {"answer", "visit", "change"} and min(kinds.values()) >= 8


@pytest.mark.parametrize("seed", [0, 1])
def test_there_are_thousands_of_instances_and_no_template_is_empty(seed):
    world = Web(seed)
    tasks = everything(world)
    assert len(world.tasks("train")) > 1500 and len(world.tasks("test")) > 400
    assert len(by_template(world)) >= 124
    assert len({t.instruction for t in tasks}) == len({t.id for t in tasks}) == len(tasks)
    assert all(t.id.startswith("train/") for t in world.tasks("train"))
    assert all(t.id.startswith("test/") for t in world.tasks("test"))
    assert max(len(t.instruction.split()) for t in tasks) <= 14


def test_no_instruction_of_a_test_task_is_in_training(web):
    train, test = ({t.instruction for t in web.tasks(s)} for s in ("train", "test"))
    assert train.isdisjoint(test)
    templates = [{t.goal["template"] for t in web.tasks(s)} for s in ("train", "test")]
    assert len(templates[0] & templates[1]) > 100, "the test asks the same kinds of things"


def test_an_instruction_says_what_is_judged(web):
    for task in everything(web):
        goal, text = task.goal, f" {task.instruction} "
        if goal["named"]:
            assert f" {goal['query']} " in text
        elif not web.start.kinds[goal["record"][0]].single:
            assert f" {goal['pages'][0]} " in text
        buttons = web.start.kinds[goal["record"][0]].buttons
        fixed = {(b.field, b.value) for b in buttons}
        for field, value in goal.get("changes", ()):
            assert f" {value} " in text or (field, value) in fixed


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_expert_reaches_every_kind_of_goal(seed):
    world, rng = Web(seed), np.random.default_rng(seed)
    for name, tasks in by_template(world).items():
        for i in rng.permutation(len(tasks))[:2]:
            plan = expert_plan(world, tasks[i])
            assert evaluate(tasks[i].goal, world.site, world.browser.url, world.answer), name
            assert 2 <= len(plan) <= 8 and plan[-1].startswith("stop ["), name
            *_, reward, terminated, truncated, info = walk(world, tasks[i], *plan)
            assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


def test_doing_nothing_is_never_a_success(web):
    for name, tasks in by_template(web).items():
        for action in ("stop []", "stop", "stop [done]", "stop [home]"):
            _, reward, terminated, _, info = walk(web, tasks[0], action)
            assert (reward, terminated, info["success"]) == (0.0, True, False), name


def test_a_wrong_answer_fails_on_the_right_page(web):
    for name, tasks in by_template(web).items():
        goal = tasks[0].goal
        plan = expert_plan(web, tasks[0])
        if goal["kind"] == "answer":
            others = [t.goal["value"] for t in everything(web) if t.goal["kind"] == "answer"]
            wrong = next(v for v in others if normal(v) != normal(goal["value"]))
            for answer in (wrong, "", f"{goal['value']} {wrong}"):
                assert walk(web, tasks[0], *plan[:-1], f"stop [{answer}]")[1] == 0.0, name
            shouted = f"stop [ {goal['value'].upper().replace('$', '')} ]"
            assert walk(web, tasks[0], *plan[:-1], shouted)[1] == 1.0, "case does not matter"
        else:
            assert walk(web, tasks[0], *plan[:-1], "stop [anything]")[1] == 1.0, name


def test_the_check_knows_no_browser(web):
    """Changes are judged on the server's records, whoever made them."""
    for name, tasks in by_template(web).items():
        goal = tasks[0].goal
        site = web.start.copy()
        if goal["kind"] == "visit":
            assert evaluate(goal, site, goal["url"], "")
            assert evaluate(goal, site, goal["url"] + "/?page=1", "")
            assert not evaluate(goal, site, goal["url"] + "?page=2", "")
            assert not evaluate(goal, site, "/", "") and not evaluate(goal, site, "", "")
            continue
        if goal["kind"] == "answer":
            assert evaluate(goal, site, "anywhere", goal["value"])
            continue
        kind = site.kinds[goal["record"][0]]
        url = site.url(*goal["record"])
        labels = {(b.field, b.value): {"set": b.label} for b in kind.buttons}
        boxes = {b.field: b.label for b in kind.boxes}
        for n, (field, value) in enumerate(goal["changes"]):
            assert not evaluate(goal, site, url, "done"), f"{name}: {n} of its changes"
            form = labels.get((field, value)) or {boxes[field]: value}
            assert site.handle("POST", url, form).status == 200
        assert evaluate(goal, site, "anywhere", "") is True, name
        field, value = goal["changes"][-1]
        other = next(
            ({"set": b.label} for b in kind.buttons if b.field == field and b.value != value), None
        )
        site.handle("POST", url, other or {boxes[field]: "1" if value != "$1" else "2"})
        if site.value(*goal["record"], field) != value:
            assert not evaluate(goal, site, url, ""), f"{name}: another value in the end"


def test_who_changes_what_was_asked_for_fails(web):
    """Setting a price to know it is no answer; neither is any other change on the way."""
    task = task_like(web, "what is the price of")
    plan = expert_plan(web, task)
    world_state = walk(web, task, *plan[:-1])[4]["state"]
    box = next(n for n, node in read(world_state).nodes.items() if node.name == "price")
    assert walk(web, task, *plan[:-1], f"type [{box}] [1] [1]", "stop [$1]")[1] == 0.0
    assert walk(web, task, *plan[:-1], f"type [{box}] [1] [1]", plan[-1])[1] == 0.0
    task = task_like(web, "go to the page of order")
    plan = expert_plan(web, task)
    state = walk(web, task, *plan[:-1])[4]["state"]
    button = next(n for n, node in read(state).nodes.items() if node.role == "button")
    assert walk(web, task, *plan[:-1], f"click [{button}]", "stop [done]")[1] == 0.0


def test_addresses_are_compared_as_addresses():
    assert same_page("/shop/orders", "/shop/orders/")
    assert same_page("/shop/orders?page=1", "/shop/orders")
    assert same_page("/x?a=1&b=2", "/x?b=2&a=1")
    assert not same_page("/shop/orders?page=2", "/shop/orders")
    assert not same_page("/shop/orders/1", "/shop/orders/10")


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


def test_the_step_limit_is_a_parameter():
    world = Web(0, max_steps=3)
    world.reset(seed=0)
    ends = [world.step("scroll [down]")[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    world.reset(seed=0)
    ends = [world.step(a)[2:4] for a in ("click [1]", "click [1]", "stop [x]")]
    assert ends[-1] == (True, False)


# ---- the contract -----------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_gymnasium_accepts_the_world_without_a_warning(web):
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


# ---- the abstract state and the teacher -------------------------------------------------

ODD = [
    "type [9] [a b] [0]",
    "type [7] [$5] [0]",
    "type [6] [x] [1]",
    "type [10] [mia] [0]",
    "type [2] [] [1]",
    "type [2] [] [0]",
    "click [6]",
    "click [8]",
    "press [enter]",
    "go_back",
    "go_back",
    "go_forward",
    "new_tab",
    "tab_focus [0]",
    "tab_focus [1]",
    "close_tab",
    "goto [/shop/products?q=red]",
    "goto [http://x.y/code/issues/?page=2]",
    "goto [/shop/orders?page=99]",
    "hover [2]",
]


def wander(world, episodes, seed):
    """Play all behaviours and odd actions at random; yields (state, action, answer)."""
    rng = np.random.default_rng(seed)
    tasks = world.tasks("train")
    for _ in range(episodes):
        world.reset(options={"task": tasks[int(rng.integers(len(tasks)))]})
        over = False
        while not over:
            odd = rng.random() < 0.4
            behaviour = str(rng.choice(list(world.behaviours)))
            action = str(rng.choice(ODD)) if odd else world.act(behaviour, rng)
            state = world.state
            answer = world.step(action)
            over = answer[2] or answer[3]
            yield state, action, answer


def test_on_every_page_the_state_says_what_the_browser_shows():
    world, seen = Web(3), Counter()
    for _, action, (observation, _, terminated, *_) in wander(world, 200, seed=0):
        if terminated:
            continue
        browser = world.browser
        shown = compact(browser.page, browser.url, browser.tabs, browser.current)
        view = read(world.state)
        assert "\n".join(view.lines) == shown
        nodes = [(n.role, n.name, n.value) for n in view.nodes.values()]
        assert nodes == [(n.role, n.name, n.value) for n in browser.page.nodes]
        last = {(title, field): value for title, field, value in world.site.journal}
        assert view.notes() == last and len(view.saved) == len(last)
        if len(browser.tabs) == 1 and "more" not in view.back:
            behind = browser._tab.position
            assert len(view.back) == behind
            assert ("go_back" in world.admissible_actions()) == (behind > 0)
        seen[parse_action(action).verb if parse_action(action) else "none"] += 1
        seen[observation.split(" ")[0]] += 1
    verbs = ("type", "click", "go_back", "goto", "new_tab", "tab_focus", "close_tab")
    assert min(seen[verb] for verb in verbs) > 15, seen
    assert min(seen[word] for word in ("saved:", "nothing", "emptied", "typed")) > 3, seen


def test_the_teachers_verdict_is_the_reward(web, log):
    """On each step of a log of 300 episodes, and on a walk with odd actions."""
    stops = 0
    for t in transitions_of(log):
        if not t.terminated:
            assert not parse_action(t.action) or parse_action(t.action).verb != "stop"
            continue
        stops += 1
        right, why = verdict(t.task.goal, read(t.state), parse_action(t.action).text)
        assert right == bool(t.reward) and t.reasoning == why
    assert stops > 200
    for state, action, (_, reward, terminated, _, info) in wander(web, 150, seed=1):
        if terminated:
            answer = parse_action(action).text
            assert verdict(info["task"].goal, read(state), answer)[0] == bool(reward)


def test_a_trace_that_sees_no_way_is_followed_by_a_failure(web):
    """And one that says what is saved is followed by exactly that."""
    no_way = (
        "there is no [",
        "takes no typing",
        "this is no a",
        "nothing behind",
        "nothing was typed",
    )
    for state, action, (observation, *_, info) in wander(web, 200, seed=2):
        trace = web.teacher(info["task"], state, action)
        parsed = parse_action(action)
        if any(words in trace for words in no_way):
            assert info["failed"], (state, action, trace, observation)
        elif parsed and parsed.verb in ("click", "type", "goto"):
            refused = re.search(r"is no (price|number|developer)", trace)
            assert info["failed"] == bool(refused or "can not be typed" in trace)
        sets = [line[len("it sets ") :] for line in trace.split("\n") if line[:8] == "it sets "]
        if sets:
            assert observation == "\n".join(f"saved: {what}" for what in sets)


def test_an_episode_folds_from_its_observations_alone(web, log):
    for trajectory in log:
        state = fold("", "", trajectory.observation)
        assert state == trajectory.state
        for t in trajectory.transitions:
            assert t.state == state
            state = web.fold(state, t.action, t.observation)
            assert state == t.next_state


def test_fold_takes_any_observation_that_a_dream_may_write(transitions):
    said = sorted({t.observation for t in transitions[:80]}) + [
        "saved:",
        "saved: ",
        "saved: a",
        "saved: a | b",
        "saved: a | b | c | d\nx",
        "saved: a | b | c\nsaved: a | b | d",
        "typed x in [1]",
        "typed  in [999]",
        "typed x in [99999999999]",
        "emptied [2]",
        "stopped:",
        "back: x",
        "x\nback: y\nback: z < more",
        f"{FAILURE} refused, x",
        "[1] textbox x: y | z",
        "日本語\n\n",
        " ",
    ]
    actions = ["", "click [1]", "type [2] [x] [1]", "go_back", "new_tab", "tab_focus [0]", "x"]
    states = {fold("", "", o) for o in said}
    states |= {fold(s, a, o) for s in sorted(states) for a in actions for o in said[-20:]}
    rng = np.random.default_rng(0)
    for state in sorted(states)[:: max(1, len(states) // 1000)]:
        for o in rng.choice(said, 8):
            assert isinstance(fold(state, actions[rng.integers(7)], str(o)), str)


def test_the_teacher_takes_any_state_that_a_dream_may_reach(web):
    states = ["", "x", "\n", "saved: a | b | c", "back: ", "stopped: x", "a at /shop/orders/1"]
    states += ["a at /shop/orders/1\n[1] button nothing [2] textbox other: x [3] button save"]
    actions = ["stop [x]", "go_back", "press [enter]", "goto [/]", "new_tab", "click [x]"]
    actions += [f"{verb} [{n}]" for verb in ("click", "hover") for n in (1, 2, 3, 4)]
    actions += [f"type [{n}] [y] [{e}]" for n in (1, 2) for e in (0, 1)]
    for tasks in by_template(web).values():
        for state in states:
            for action in actions if tasks[0].id == "train/0000" else actions[:1]:
                assert web.teacher(tasks[0], state, action)


def test_the_teacher_says_what_the_page_has_and_what_it_does(web):
    task = task_like(web, "what is the price of")
    name = task.goal["pages"][0]
    walk(web, task, "click [2]")
    teach = web.teacher
    products = web.state
    assert teach(task, products, "click [9]") == "there is no [9] the page has [1] to [7]"
    assert teach(task, products, "click [7]") == ("[7] is link next\nit leads to products page 2")
    assert teach(task, products, "type [2] [red mug] [1]") == (
        "[2] is textbox search\nit searches for red mug"
    )
    assert teach(task, products, "type [3] [red mug] [1]").endswith("it takes no typing")
    assert teach(task, products, "go_back") == "behind this page is home"
    assert teach(task, products, "nonsense") == "this is no action"
    assert teach(task, products, "stop [$5]") == (
        f"wanted {name} got products page 1 no\nit does not say price\n"
        f"answered $5 {'yes' if task.goal['value'] == '$5' else 'no'}"
    )
    walk(web, task, "click [2]", f"type [2] [{name}] [1]", "click [3]")
    page, price = web.state, task.goal["value"]
    assert teach(task, page, "type [6] [$7] [1]") == (
        f"[6] is textbox price\nit sets {name} | price | $7"
    )
    assert teach(task, page, "type [6] [seven] [1]") == ("[6] is textbox price\nseven is no price")
    assert teach(task, page, "click [4]") == f"[4] is button hide\nit sets {name} | state | hidden"
    assert teach(task, page, "click [8]") == "[8] is button save\nnothing was typed"
    assert teach(task, page, f"stop [{price}]") == (
        f"wanted {name} got {name} yes\nit says price {price}\nanswered {price} yes"
    )
    assert teach(task, page, "stop [$7]").endswith(f"it says price {price}\nanswered $7 no")
    web.step("click [4]")
    assert teach(task, web.state, f"stop [{price}]") == (
        f"nothing was to be saved\nsaved {name} | state | hidden no"
    )


def test_the_teacher_weighs_wanted_against_got(web):
    task = next(t for t in everything(web) if t.goal["template"] == "change products price stock")
    name = task.goal["pages"][0]
    (_, price), (_, stock) = task.goal["changes"]
    plan = expert_plan(web, task)
    walk(web, task, *plan[:3], f"type [6] [{price}] [1]")
    assert web.teacher(task, web.state, "stop [done]") == (
        f"wanted {name} | price | {price} got {price} yes\n"
        f"wanted {name} | stock | {stock} got nothing no"
    )
    task = next(
        t
        for t in everything(web)
        if t.goal["template"].endswith("customers page via orders customer")
    )
    plan = expert_plan(web, task)
    order, customer = task.goal["pages"]
    state = walk(web, task, *plan[:-1])[4]["state"]
    assert web.teacher(task, state, "stop [done]") == (
        f"wanted customer of {order} got {customer} behind it {order} yes"
    )
    task = next(
        t for t in everything(web) if t.goal["template"] == "change issues state closed by title"
    )
    plan = expert_plan(web, task)
    state = walk(web, task, *plan[:-1])[4]["state"]
    title = task.goal["query"]
    assert web.teacher(task, state, "stop [done]") == (
        f"wanted title {title} got title {title} yes\nwanted state | closed got closed yes"
    )


def test_a_link_to_what_was_changed_says_so(web):
    task = task_like(web, "hide")
    name = task.goal["pages"][0]
    walk(web, task, *expert_plan(web, task)[:-1], "go_back")
    row = next(n for n, node in read(web.state).nodes.items() if node.name == name)
    trace = web.teacher(task, web.state, f"click [{row}]")
    assert trace.endswith(f"link {name}\nthere was saved {name} | state | hidden")
    assert "state | hidden" in web.step(f"click [{row}]")[0]


# ---- the behaviours -----------------------------------------------------------------------


def test_the_expert_always_succeeds_and_most_others_often_fail(web):
    log = collect_log(web, web.tasks("test"), 400, seed=1)
    share = {b: np.mean([t.success for t in log if t.behaviour == b]) for b in web.behaviours}
    assert share["expert"] == 1.0 and share["random"] < 0.2
    assert 0.15 < share["careless"] < 0.6 and 0.1 < share["hasty"] < 0.6
    assert share["exploring"] < 0.95 and share["invalid"] < 0.95
    assert abs(sum(web.behaviours.values()) - 1) < 1e-9
    assert np.mean([t.success for t in log]) < 0.55


def test_episodes_of_a_log_fail_in_many_ways(log, transitions):
    failed = Counter(t.observation.split(":")[1].split("[")[0] for t in transitions if t.failed)
    assert len(failed) >= 8 and 0.08 < sum(failed.values()) / len(transitions) < 0.3
    lost = [t for t in transitions if t.terminated and not t.reward]
    assert len(lost) > 60
    kinds = Counter(t.task.goal["kind"] for t in lost)
    assert min(kinds[k] for k in ("answer", "visit", "change")) > 8
    assert sum("got nothing no" in t.reasoning for t in lost) > 5, "stopped too early"
    assert sum(" yes\nit says" in t.reasoning for t in lost) > 5, "right page, wrong answer"
    assert sum(t.truncated for t in log) > 10
    lucky = [t for t in transitions if t.reward and re.search(r" no(\n|$)", t.reasoning)]
    assert len(lucky) <= 0.02 * sum(t.terminated for t in transitions)


def test_what_models_read_is_short_and_of_few_words(log, transitions):
    texts = [t.state for t in transitions] + [t.observation for t in transitions]
    sizes = [len(WORD.findall(text)) for text in texts]
    assert np.mean(sizes) < 75 and max(sizes) < 180
    assert max(text.count("\n") for text in texts) < 20
    everything = " ".join([*texts, *(f"{t.reasoning} {t.task.instruction}" for t in transitions)])
    assert len(set(re.findall("[a-zA-Z]+", everything))) < 420
    assert len({t.action.split("[")[0] for t in transitions}) >= 10


def test_similar_memories_show_most_pages(web):
    log = collect_log(web, web.tasks("train"), 500, seed=2)
    transitions = transitions_of(log)
    buffer = ReplayBuffer(transitions)
    found = buffer.retrieve(
        [(t.state, t.action) for t in transitions[:800]],
        1,
        [t.trajectory for t in transitions[:800]],
    )
    same = [m[0][0].observation == t.observation for m, t in zip(found, transitions, strict=False)]
    assert np.mean(same) > 0.7


def test_surfers_need_no_secret_of_the_browser(web):
    """They act on the abstract state, so a real browser may stand behind it."""
    web.reset(options={"task": task_like(web, "hide")})
    rng = np.random.default_rng(0)
    del web.browser._tabs[:]
    for behaviour in surfers.SHARES:
        assert isinstance(web.act(behaviour, rng), str)
