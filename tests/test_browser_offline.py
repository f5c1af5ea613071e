"""What the browser's world does before any page is open: grammar, listing, messages."""

import sys

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.machine import find_chromium
from dreamgym_nb.worlds import browser_thread
from dreamgym_nb.worlds.accessibility import Element, elements
from dreamgym_nb.worlds.browser_actions import Refused, parse_action, translate
from dreamgym_nb.worlds.browser_env import Page, register
from dreamgym_nb.worlds.browser_tasks import describe, miniwob_url
from dreamgym_nb.worlds.browser_thread import require_browser


@pytest.mark.parametrize(
    "action, verb, arguments",
    [
        ("click [13]", "click", ("13",)),
        ("Click [a12]", "click", ("a12",)),
        ("type [7] [ann lee] [0]", "type", ("7", "ann lee", "0")),
        ("type [7] [ann]", "type", ("7", "ann", "1")),
        ("type [7] [a [b] c] [1]", "type", ("7", "a [b] c", "1")),
        ("type [7] [] [0]", "type", ("7", "", "0")),
        ("select [3] [Red [x]]", "select", ("3", "Red [x]")),
        ("press [ctrl+a]", "press", ("ctrl+a",)),
        ("scroll [down]", "scroll", ("down",)),
        ("goto [http://a.b/?q=1]", "goto", ("http://a.b/?q=1",)),
        ("tab_focus [1]", "tab_focus", ("1",)),
        ("stop [N/A]", "stop", ("N/A",)),
        ("stop", "stop", ("",)),
        (" go_back ", "go_back", ()),
    ],
)
def test_actions_are_read(action, verb, arguments):
    assert parse_action(action) == (verb, arguments)


@pytest.mark.parametrize(
    "action",
    [
        "",
        "click",
        "click 13",
        "click[]",
        "type [7]",
        "press []",
        "fly [3]",
        "x" * 500,
        "go_back []",
    ],
)
def test_what_is_no_action_is_none(action):
    assert parse_action(action) is None


LISTED = [
    Element("13", "button", "Ok", 0),
    Element("7", "textbox", "Name", 0),
    Element("20", "combobox", "Colour", 0),
    Element("21", "option", "Red", 1, parent="20"),
]


@pytest.mark.parametrize(
    "action, words",
    [
        ("click [13]", "click('13')"),
        ("hover [13]", "hover('13')"),
        ("type [7] [it's] [0]", "fill('7', \"it's\")"),
        ("type [7] [a] [1]", "fill('7', 'a')\npress('7', 'Enter')"),
        ("click [21]", "select_option('20', 'Red')"),
        ("select [20] [Red]", "select_option('20', 'Red')"),
        ("press [ctrl+Shift+a]", "keyboard_press('Control+Shift+a')"),
        ("scroll [up]", "scroll(0, -500)"),
        ("goto [https://a.b/c]", "goto('https://a.b/c')"),
        ("go_back", "go_back()"),
        ("new_tab", "new_tab()"),
        ("tab_focus [1]", "tab_focus(1)"),
        ("close_tab", "tab_close()"),
        ("stop [7 days]", "send_msg_to_user('7 days')"),
    ],
)
def test_actions_are_translated(action, words):
    assert translate(action, LISTED) == words


@pytest.mark.parametrize(
    "action, why",
    [
        ("click [99]", r"there is no \[99\]"),
        ("dance", "an action is click"),
        ("goto [file:///etc/passwd]", "http"),
        ("goto [javascript:alert(1)]", "http"),
    ],
)
def test_what_cannot_be_done_is_refused(action, why):
    with pytest.raises(Refused, match=why):
        translate(action, LISTED)


def node(id, role, name="", children=(), bid=None, ignored=False, value=None, **properties):
    made = {
        "nodeId": id,
        "role": {"value": role},
        "name": {"value": name},
        "ignored": ignored,
        "childIds": list(children),
        "properties": [{"name": k, "value": {"value": v}} for k, v in properties.items()],
    }
    made |= {"browsergym_id": bid} if bid else {}
    return made | ({"value": {"value": value}} if value is not None else {})


def test_a_tree_becomes_a_listing():
    tree = {
        "nodes": [
            node("1", "RootWebArea", "Page", ["2", "3", "5", "8", "10", "12"]),
            node("2", "heading", "Big  news", ["2a"], bid="4", level=2),
            node("2a", "StaticText", "Big news", ["2b"]),
            node("2b", "InlineTextBox", "Big news"),
            node("3", "generic", "", ["4"], bid="5"),
            node("4", "StaticText", "plain text"),
            node("5", "LabelText", "", ["6", "7"], bid="6"),
            node("6", "checkbox", "Agree", bid="7", checked="false", focused=True),
            node("7", "StaticText", "Agree"),
            node("8", "list", "", ["9"], bid="8"),
            node("9", "link", "Home", ["1"], bid="9"),  # a circle must not go on for ever
            node("10", "textbox", "", ["10a"], bid="10", value="old", required=True),
            node("10a", "StaticText", "old"),
            node("12", "dialog", "Delete it", ["12a", "12b"], bid="12"),
            node("12a", "StaticText", "Delete"),
            node("12b", "button", "Yes, delete", ["12c"], bid="13"),
            node("12c", "StaticText", "Yes,"),
            node("11", "button", "Not in the tree"),
        ]
    }
    assert [e.line() for e in elements(tree)] == [
        "[4] heading 'Big news' level: 2",
        "[5] StaticText 'plain text'",
        "[7] checkbox 'Agree' checked: false focused: true",
        "[9] link 'Home'",
        "[10] textbox '' value: 'old' required: true",
        "[12] dialog 'Delete it'",
        " [12] StaticText 'Delete'",
        " [13] button 'Yes, delete'",
    ]
    assert elements({"nodes": []}) == []


def test_an_ignored_node_is_not_listed_but_its_children_are():
    tree = {
        "nodes": [
            node("1", "RootWebArea", "Page", ["2"]),
            node("2", "button", "Hidden", ["3"], ignored=True),
            node("3", "button", "Seen", bid="3"),
        ]
    }
    assert [e.line() for e in elements(tree)] == ["[3] button 'Seen'"]


def test_a_long_page_is_cut_and_says_so():
    listed = tuple(Element(str(i), "link", f"number {i}", 0) for i in range(1000))
    page = Page(listed, ("A  b", "C"), 1, "http://x/")
    lines = describe(page, max_chars=2000).split("\n")
    assert lines[0] == "Tab 0: A b | Tab 1 (current): C"
    kept = len(lines) - 2
    assert 0 < kept < 1000 and lines[-1] == f"({1000 - kept} more lines are not shown)"
    assert len("\n".join(lines)) <= 2000
    assert "not shown" not in describe(page, max_chars=100_000)


def test_a_missing_browser_is_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("DREAMGYM_CHROMIUM", raising=False)
    monkeypatch.setattr("dreamgym_nb.machine.MAC_BROWSERS", ())
    with pytest.raises(UserError, match="apt install chromium,"):
        find_chromium()
    monkeypatch.setenv("DREAMGYM_CHROMIUM", "/no/such/program")
    with pytest.raises(UserError, match="DREAMGYM_CHROMIUM"):
        find_chromium()
    monkeypatch.setenv("DREAMGYM_CHROMIUM", sys.executable)
    assert find_chromium() == sys.executable


def test_missing_packages_are_a_sentence(monkeypatch):
    monkeypatch.setattr(browser_thread.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'dreamgym_nb\[browser\]'"):
        require_browser()
    monkeypatch.delenv("MINIWOB_URL", raising=False)
    with pytest.raises(UserError, match="miniwob"):
        miniwob_url()


def test_the_address_of_miniwob_can_be_set(monkeypatch):
    monkeypatch.setenv("MINIWOB_URL", "http://127.0.0.1:8000/miniwob")
    assert miniwob_url() == "http://127.0.0.1:8000/miniwob/"


@pytest.mark.parametrize(
    "env_id, why",
    [
        ("CartPole-v1", "browsergym/miniwob"),
        ("browsergym/no_such_benchmark.1", "pip install browsergym-no_such_benchmark"),
        ("browsergym/../evil.1", "no id"),
    ],
)
def test_a_wrong_environment_is_a_sentence(env_id, why):
    with pytest.raises(UserError, match=why):
        register(env_id)
