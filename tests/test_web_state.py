"""The web in a log: abstract states, the teacher's verdicts and what the behaviours leave."""

import re
from collections import Counter

import numpy as np
import pytest
from web_walks import by_template, everything, task_like, walk

from dreamgym_nb.experience import transitions_of
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.worlds import surfers
from dreamgym_nb.worlds.base import FAILURE, collect_log
from dreamgym_nb.worlds.pages import compact, parse_action
from dreamgym_nb.worlds.surfers import expert_plan
from dreamgym_nb.worlds.web import Web
from dreamgym_nb.worlds.web_state import fold, read
from dreamgym_nb.worlds.web_teacher import verdict

WORD = re.compile(r" ?(?:\$?[a-zA-Z0-9]+|\n|[^\sa-zA-Z0-9])")  # as the tiny tokenizer cuts


@pytest.fixture(scope="module")
def log(web):
    return collect_log(web, web.tasks("train"), 300, seed=5)


@pytest.fixture(scope="module")
def transitions(log):
    return transitions_of(log)


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
        assert right == bool(t.reward) and t.reasoning.endswith(f"\n{why}")
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
        f"asked {task.instruction}\nhere products page 1\nnothing saved\n"
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
    assert teach(task, page, f"stop [{price}]").endswith(
        f"here {name}\nnothing saved\nwanted {name} got {name} yes\n"
        f"it says price {price}\nanswered {price} yes"
    )
    assert teach(task, page, "stop [$7]").endswith(f"it says price {price}\nanswered $7 no")
    web.step("click [4]")
    assert teach(task, web.state, f"stop [{price}]").endswith(
        f"here {name}\nsaved {name} | state | hidden\n"
        f"nothing was to be saved\nsaved {name} | state | hidden no"
    )


def test_the_teacher_weighs_wanted_against_got(web):
    task = next(t for t in everything(web) if t.goal["template"] == "change products price stock")
    name = task.goal["pages"][0]
    (_, price), (_, stock) = task.goal["changes"]
    plan = expert_plan(web, task)
    walk(web, task, *plan[:3], f"type [6] [{price}] [1]")
    assert web.teacher(task, web.state, "stop [done]").endswith(
        f"here {name}\nsaved {name} | price | {price}\n"
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
    assert web.teacher(task, state, "stop [done]").endswith(
        f"\nwanted customer of {order} got {customer} behind it {order} yes"
    )
    task = next(
        t for t in everything(web) if t.goal["template"] == "change issues state closed by title"
    )
    plan = expert_plan(web, task)
    state = walk(web, task, *plan[:-1])[4]["state"]
    title = task.goal["query"]
    assert web.teacher(task, state, "stop [done]").endswith(
        f"\nwanted title {title} got title {title} yes\nwanted state | closed got closed yes"
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
