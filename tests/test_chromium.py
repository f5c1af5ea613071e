"""The sites in a real Chromium: the same listings, rewards and ends as in the text browser."""

import copy
import subprocess
import sys

import numpy as np
import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.accessibility import page_of
from dreamgym_nb.worlds.browser_env import register
from dreamgym_nb.worlds.browser_thread import require_browser
from dreamgym_nb.worlds.chromium import ChromiumBrowser, ChromiumWeb
from dreamgym_nb.worlds.documents import parse
from dreamgym_nb.worlds.pages import Item, Page, parse_action
from dreamgym_nb.worlds.sites import make_state
from dreamgym_nb.worlds.text_browser import TextBrowser
from dreamgym_nb.worlds.web import Web

EPISODES = 50
GROUPS = 5
BEHAVIOURS = ("expert", "random", "expert", "exploring", "invalid")
MAX_STEPS = 6  # enough for every expert; a step in a real browser is slow


def skip_without_browser():
    try:
        require_browser()
        register("browsergym/openended")
    except UserError as e:
        pytest.skip(f"The sites are not tested in a real browser here: {e}")


@pytest.fixture(scope="module")
def worlds():
    skip_without_browser()
    real = ChromiumWeb(seed=0, max_steps=MAX_STEPS)
    yield Web(seed=0, max_steps=MAX_STEPS), real
    real.close()


@pytest.fixture(scope="module")
def browsers(worlds):
    """Both front ends alone, on sites of their own."""
    chromium = ChromiumBrowser()
    yield TextBrowser(), chromium
    chromium.close()


def both_reset(worlds, task):
    """Start a task in both; what they say must be equal."""
    (left, seen), (right, told) = (w.reset(options={"task": task}) for w in worlds)
    same((left, seen), (right, told), worlds)


def both_step(worlds, action):
    """Do an action in both; returns whether the episode is over."""
    left, right = (w.step(action) for w in worlds)
    same((left[0], left[4]), (right[0], right[4]), worlds)
    assert left[1:4] == right[1:4], action
    return left[2] or left[3]


def same(left, right, worlds):
    assert left[0] == right[0]
    assert left[1] == right[1]  # listing, url, state, admissible actions, success, failed
    assert worlds[0].state == worlds[1].state
    assert worlds[0].raw == worlds[1].raw


def episodes():
    """(task number, behaviour, seed) of the episodes that both front ends play."""
    rng = np.random.default_rng(7)
    numbers = rng.integers(10_000, size=EPISODES)
    return [(int(n), BEHAVIOURS[i % len(BEHAVIOURS)], i) for i, n in enumerate(numbers)]


@pytest.mark.parametrize("group", range(GROUPS))
def test_both_front_ends_play_the_same_episodes(worlds, group):
    text, _ = worlds
    tasks = [*text.tasks("train"), *text.tasks("test")]
    played, solved = 0, 0
    for number, behaviour, seed in episodes()[group::GROUPS]:
        both_reset(worlds, tasks[number % len(tasks)])
        rng = np.random.default_rng(seed)
        over = False
        while not over:
            over = both_step(worlds, text.act(behaviour, rng))
        played += 1
        solved += text.history[-1][1].startswith("stop") and behaviour == "expert"
    assert played == EPISODES // GROUPS and solved == EPISODES // GROUPS * (group in (0, 2))
    assert worlds[0].real_steps == worlds[1].real_steps


# ---- what random walks seldom do ------------------------------------------------------------


def drive(browsers, actions):
    """The same actions in both; pages, addresses, tabs and answers must be equal."""
    text, real = browsers
    text.open(make_state(0))
    real.open(make_state(0))
    for action in actions:
        done = [b.do(parse_action(action)) for b in browsers]
        assert done[0] == done[1], action
        for part in ("page", "url", "tabs", "current"):
            assert getattr(text, part) == getattr(real, part), (action, part)
    return text


def number(browser, role, name=None):
    """The number of a node of the present page, as an action names it."""
    nodes = enumerate(browser.page.nodes, start=1)
    return next(i for i, n in nodes if n.role == role and name in (None, n.name))


def a_record(role="textbox", boxes=2):
    """The address of a record whose page has that many text boxes."""
    text = TextBrowser(make_state(0))
    for kind in text.site.kinds.values():
        if len(kind.boxes) == boxes:
            return text.site.url(kind.plural, next(iter(text.site.records[kind.plural])))
    raise AssertionError("no such record")


def test_tabs(browsers):
    text = drive(
        browsers,
        [
            "click [1]",
            "new_tab",
            "click [1]",
            "goto [/forum/boards]",
            "new_tab",
            "goto [/code/issues]",
            "tab_focus [1]",
            "go_back",
            "close_tab",
            "tab_focus [1]",
            "tab_focus [5]",
            "go_back",
            "close_tab",
            "close_tab",
            "go_back",
            "go_forward",
        ],
    )
    assert len(text.tabs) == 1


def test_the_history_and_a_refused_form(browsers):
    """A real browser keeps an entry for the answer to a form, and would not go back to it."""
    record = a_record(boxes=2)
    text = drive(browsers, [f"goto [{record}]"])
    box, save = number(text, "textbox"), number(text, "button", "save")
    drive(
        browsers,
        [
            "goto [/forum/boards]",
            f"goto [{record}]",
            f"click [{save}]",  # nothing was typed: refused
            f"type [{box}] [no such thing] [0]",
            "goto [/code/issues]",
            "go_back",
            "go_back",
            "go_back",
            "go_back",
            "go_forward",
            "go_forward",
            "go_forward",
            "go_forward",
            "go_back",
            f"type [{box}] [] [1]",
            "go_back",
        ],
    )


def test_typing_pointing_and_keys(browsers):
    record = a_record(boxes=1)
    text = drive(browsers, [f"goto [{record}]"])
    box = number(text, "textbox")
    drive(
        browsers,
        [
            "press [Enter]",  # nothing has the focus
            f"goto [{record}]",
            f"hover [{box}]",
            "press [enter]",
            f"type [{box}] [it's $5, ok?] [0]",
            f"hover [{box - 1}]",
            "press [Escape]",
            f"type [{box}] [] [0]",
            f"type [{box}] [two  words ] [0]",
            "scroll [down]",
            "press [Enter]",
            f"click [{box}]",
            "press [Enter]",
            "click [99]",
            "click [0]",
            f"type [{box - 1}] [x] [1]",
            f"type [{box}] [caf\u00e9] [1]",
        ],
    )


def test_addresses(browsers):
    drive(
        browsers,
        [
            "goto [/]",
            "goto [http://elsewhere.test/forum/boards]",
            "goto [/forum/boards?q=the+sky&page=2]",
            "goto [/no/such/page]",
            "click [1]",
            "goto [/forum/boards?]",
            "goto [/favicon.ico2]",
            "goto [/favicon.ico]",
            "go_back",
            "goto [ftp://x/]",
            "goto [file:///etc/passwd]",
            "goto [about:blank]",
            "goto [/code/issues?page=99]",
        ],
    )


def test_searching_for_odd_words(browsers):
    text = drive(browsers, ["goto [/forum/boards]"])
    box = number(text, "textbox")
    for words in ("it's $5, ok?", "a_b-c.d!", "A B"):
        drive(browsers, ["goto [/forum/boards]", f"type [{box}] [{words}] [1]", "go_back"])


def test_every_kind_of_page_reads_the_same(browsers):
    state = make_state(0)
    addresses = ["/"]
    for kind in state.kinds.values():
        key = next(iter(state.records[kind.plural]))
        addresses += [state.url(kind.plural), state.url(kind.plural, key)]
        addresses += [state.url(kind.plural, key, plural) for plural in kind.lists]
    text = drive(browsers, [f"goto [{url}]" for url in dict.fromkeys(addresses)])
    assert len(set(addresses)) > 20 and text.url in addresses
    assert browsers[1].html == text.html


# ---- the rest ---------------------------------------------------------------------------------


def test_a_copy_has_a_browser_of_its_own(worlds):
    _, real = worlds
    tasks = real.tasks("train")
    first, _ = real.reset(options={"task": tasks[0]})
    twin = copy.copy(real)
    twin.reset(options={"task": tasks[1]})
    twin.step("goto [/forum/boards]")
    observation, *_ = real.step("goto [/code/issues]")
    assert "/code/issues" in observation and "/forum/boards" in twin.observation
    assert twin.site is not real.site
    twin.close()
    assert real.step("go_back")[0] == first


def test_the_browser_comes_back_after_it_died(worlds):
    text, real = worlds
    task = text.tasks("train")[0]
    both_reset(worlds, task)
    real._browser._thread.kill()
    both_reset(worlds, task)
    both_step(worlds, text.act("expert", np.random.default_rng(0)))


def test_the_icon_that_browsers_ask_for_takes_no_message_from_the_page():
    state = make_state(0)
    gate = _gate(state)
    record = a_record(boxes=1)
    label = next(k for k in state.kinds.values() if len(k.boxes) == 1).boxes[0].label
    text = TextBrowser(make_state(0))
    text.do(parse_action(f"goto [{record}]"))
    state.dispatch("POST", record, {label: "hello there"})
    assert _get(gate, "/favicon.ico")[0].startswith("404")
    status, body = _get(gate, record)
    said = parse(body).page.said
    assert status == "200 OK" and len(said) == 1 and said[0].endswith("hello there")
    assert gate.html[record] == body


def _gate(state):
    from dreamgym_nb.worlds.chromium import _Gate

    gate = _Gate()
    gate.site = state
    return gate


def _get(app, path):
    answers = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
    body = app.wsgi_app(environ, lambda status, headers: answers.append(status))
    return answers[0], b"".join(body).decode()


def node(id, role, name="", children=(), bid=None, value=None, ignored=False):
    made = {"nodeId": id, "role": {"value": role}, "name": {"value": name}, "ignored": ignored}
    made |= {"childIds": list(children)} | ({"browsergym_id": bid} if bid else {})
    return made | ({"value": {"value": value}} if value is not None else {})


def test_a_tree_becomes_a_page():
    tree = {
        "nodes": [
            node("1", "RootWebArea", "T", ["2", "6"]),
            node("2", "navigation", "", ["3", "4"]),
            node("3", "link", "home", ["3a"], bid="10"),
            node("3a", "StaticText", "home"),
            node("4", "link", "boards  b", [], bid="11"),
            node("6", "main", "", ["7", "8", "9", "12", "15"]),
            node("7", "heading", "T", ["7a"]),
            node("7a", "StaticText", "T"),
            node("8", "status", "", ["8a"]),
            node("8a", "StaticText", "saved: it"),
            node("9", "alert", "", ["9a"]),
            node("9a", "StaticText", "no"),
            node("12", "LayoutTableRow", "", ["13", "14"]),
            node("13", "StaticText", "price"),
            node("14", "StaticText", " $5 "),
            node("15", "paragraph", "", ["16", "17"]),
            node("16", "textbox", "text", ["16a"], bid="12", value="old"),
            node("16a", "StaticText", "old"),
            node("17", "none", "", ["18"], ignored=True),
            node("18", "button", "save", bid="13"),
        ]
    }
    page, bids = page_of(tree, "T")
    assert bids == ["10", "11", "12", "13"]
    assert page == Page(
        "T",
        (
            (Item("link", "home"), Item("link", "boards b")),
            (Item("StaticText", "price"), Item("StaticText", "$5")),
            (Item("textbox", "text", "old"), Item("button", "save")),
        ),
        ("saved: it",),
        ("no",),
    )


def test_a_site_that_does_not_answer_is_an_error_not_a_hang():
    skip_without_browser()
    browser = ChromiumBrowser()
    browser.open(make_state(0))
    browser._server.close()
    with pytest.raises(RuntimeError, match="Chromium did not do .*ERR_CONNECTION_REFUSED"):
        browser.do(parse_action("goto [/forum/boards]"))
    browser.close()
    browser.open(make_state(0))  # a closed browser opens again
    assert browser.url == "/" and browser.page.nodes
    browser.close()


def test_a_program_that_ends_at_once_ends_well():
    """The thread of the browser must not be inside Playwright when the interpreter ends."""
    skip_without_browser()
    code = (
        "from dreamgym_nb.worlds.chromium import ChromiumWeb\n"
        "world = ChromiumWeb(seed=0)\n"
        "print(len(world.reset(seed=0)[0]) > 0)\n"
        "world.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
