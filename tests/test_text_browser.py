"""The text browser reads HTML, fills in forms and keeps a history as a browser does."""

import urllib.parse

import pytest

from dreamgym_nb.worlds.base import FAILURE
from dreamgym_nb.worlds.documents import parse
from dreamgym_nb.worlds.pages import (
    TEXT,
    Action,
    Item,
    Page,
    compact,
    listing,
    local_url,
    parse_action,
)
from dreamgym_nb.worlds.sites import Response, make_state
from dreamgym_nb.worlds.text_browser import TextBrowser

# ---- the grammar ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("click [12]", Action("click", 12)),
        ("  click [3]\n", Action("click", 3)),
        ("hover [1]", Action("hover", 1)),
        ("type [7] [red  mug] [1]", Action("type", 7, "red mug", True)),
        ("type [7] [red mug] [0]", Action("type", 7, "red mug", False)),
        ("type [7] [red mug]", Action("type", 7, "red mug", True)),
        ("type [7] [] [0]", Action("type", 7, "", False)),
        ("press [ctrl+a]", Action("press", text="ctrl+a")),
        ("scroll [down]", Action("scroll", text="down")),
        ("scroll [direction=up]", Action("scroll", text="up")),
        ("goto [http://shop.local/shop]", Action("goto", text="http://shop.local/shop")),
        ("go_back", Action("go_back")),
        ("go_forward", Action("go_forward")),
        ("new_tab", Action("new_tab")),
        ("tab_focus [1]", Action("tab_focus", 1)),
        ("close_tab", Action("close_tab")),
        ("stop [red mug]", Action("stop", text="red mug")),
        ("stop [a [b] c]", Action("stop", text="a [b] c")),
        ("stop []", Action("stop")),
        ("stop", Action("stop")),
    ],
)
def test_webarenas_actions_are_understood(action, parsed):
    assert parse_action(action) == parsed


@pytest.mark.parametrize(
    "action",
    [
        "",
        " ",
        "click",
        "click 3",
        "click []",
        "click [x]",
        "click [-1]",
        "click [1234]",
        "click [٣]",
        "click[3]",
        "Click [3]",
        "click [3] [4]",
        "type [3]",
        "type [3] [a] [2]",
        "type [3] [a[b]c] [1]",
        "scroll [left]",
        "goto []",
        "go_back [1]",
        "new_tab now",
        "stop now",
        "stop[now]",
        "search[mug]",
        "_PATTERNS",
        "type [1] [" + "a" * 200 + "]",
    ],
)
def test_all_else_is_no_action(action):
    assert parse_action(action) is None


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("/shop/orders?page=2", "/shop/orders?page=2"),
        ("http://shop.local/shop/orders", "/shop/orders"),
        ("https://localhost:8000/", "/"),
        ("/", "/"),
        ("http://shop.local", None),
        ("shop/orders", None),
        ("ftp://x/y", None),
        ("/shop/<b>", None),
        ("javascript:alert(1)", None),
        ("/..", None),
        ("/shop/../code", None),
        ("/./shop", None),
        ("/shop/.?q=1", None),
        ("/shop/...", "/shop/..."),
        ("/shop/é", None),
        ("/shop orders", None),
        ("", None),
    ],
)
def test_only_addresses_of_the_sites_are_opened(address, url):
    assert local_url(address) == url


# ---- reading pages ----------------------------------------------------------------------

HTML = """<!DOCTYPE html><html><head><title>A &amp; B</title><style>p {}</style></head><body>
<nav><a href="/">home</a> <a href="/up" aria-label="one up">^</a></nav>
<h1>A &amp; B</h1>
<p role="status">saved: x | y | z</p><p role="alert">x is no price</p>
<table><tr><th>name</th><td>red
   mug</td></tr><tr><td><a href="/mug"> a <b>mug</b> </a></td><td>$5</td></tr></table>
<ul><li>plain</li><li></li></ul>
<form action="/do" method="post"><p>
<input type="text" name="n" aria-label="note" value="old"><input name="m" aria-label="more">
<button name="set" value="1">save &lt;it&gt;</button><button>other</button></p></form>
</body></html>"""


def test_a_page_is_read_line_by_line():
    document = parse(HTML)
    page = document.page
    assert page.title == "A & B"
    assert page.lines == (
        (Item("link", "home"), Item("link", "one up")),
        (Item(TEXT, "name"), Item(TEXT, "red mug")),
        (Item("link", "a mug"), Item(TEXT, "$5")),
        (Item(TEXT, "plain"),),
        (
            Item("textbox", "note", "old"),
            Item("textbox", "more"),
            Item("button", "save <it>"),
            Item("button", "other"),
        ),
    )
    assert (page.said, page.wrong) == (("saved: x | y | z",), ("x is no price",))
    assert document.hrefs == {0: "/", 1: "/up", 2: "/mug"}
    (form,) = document.forms
    assert (form.action, form.method, form.boxes, form.button) == ("/do", "post", (3, 4), 5)
    assert document.fields[5] == ("set", "1")
    assert parse(HTML) is document, "the same page is read once"


def test_the_two_ways_of_writing_a_page():
    page = parse(HTML).page
    assert listing(page, "/x", ["one", "A & B"], 1) == "\n".join(
        [
            "Tab 0: one | Tab 1 (current): A & B",
            "URL: /x",
            "StaticText 'saved: x | y | z'",
            "StaticText 'x is no price'",
            "[1] link 'home'",
            "[2] link 'one up'",
            "StaticText 'name'",
            "StaticText 'red mug'",
            "[3] link 'a mug'",
            "StaticText '$5'",
            "StaticText 'plain'",
            "[4] textbox 'note' 'old'",
            "[5] textbox 'more'",
            "[6] button 'save <it>'",
            "[7] button 'other'",
        ]
    )
    lines = [
        "[1] link home [2] link one up",
        "name | red mug",
        "[3] link a mug | $5",
        "plain",
        "[4] textbox note: old [5] textbox more [6] button save <it> [7] button other",
    ]
    assert compact(page, "/x") == "\n".join(["A & B at /x", *lines])
    several = compact(page, "/x", ["one", "A & B"], 1)
    assert several == "\n".join(["A & B at /x", "tab 1 of one | A & B", *lines])


def test_lines_that_are_not_closed_end_where_the_next_begins():
    page = parse("<p>a <i>b</i> c<p>d<li><a href=x>e").page
    assert page.lines == ((Item(TEXT, "a b c"),), (Item(TEXT, "d"),))
    page = parse("<a href=x>y</a><input aria-label=z>").page
    assert [item.name for line in page.lines for item in line] == ["y", "z"]


@pytest.mark.parametrize(
    "html",
    [
        "",
        "plain",
        "<p>",
        "</p></a>",
        "<a href=x>y",
        "<input>",
        "<p><button>",
        "<title>",
        "<tr><tr>",
    ],
)
def test_broken_html_is_read_as_far_as_it_goes(html):
    page = parse(html).page
    assert isinstance(page, Page) and isinstance(compact(page, "/"), str)


# ---- surfing ----------------------------------------------------------------------------


class Echo:
    """A site that shows its requests, and has forms of each kind."""

    def __init__(self):
        self.requests = []

    def handle(self, method, url, form=None):
        self.requests.append((method, url, form))
        body = (
            '<form action="/find"><p><input name="q" aria-label="find"></p></form>'
            '<form action="/form" method="post"><p><input name="a" aria-label="a" value="1">'
            '<input name="b" aria-label="b"><button name="go" value="yes">go</button>'
            '<button name="go" value="no">not</button></p></form>'
        )
        links = '<p><a href="/one">one</a><a href="/two?x=1">two</a></p>'
        html = f"<title>{url}</title><h1>{url}</h1>{links}{body}"
        return Response(200, "/moved" if url == "/form" else url, html)


@pytest.fixture
def echo():
    return TextBrowser(Echo())


def do(browser, *actions):
    """Do actions; returns what the last one was answered with."""
    for action in actions:
        line = browser.do(parse_action(action)).line
    return line


def test_links_and_addresses_are_followed(echo):
    assert echo.url == "/" and echo.tabs == ["/"]
    assert do(echo, "click [2]") == "" and echo.url == "/two?x=1"
    do(echo, "goto [http://somewhere.local/three]")
    assert echo.site.requests == [
        ("GET", "/", None),
        ("GET", "/two?x=1", None),
        ("GET", "/three", None),
    ]
    assert "<title>/three</title>" in echo.html and echo.page.title == "/three"


def test_the_history_goes_back_and_forward(echo):
    do(echo, "click [1]", "click [2]")
    assert do(echo, "go_back") == "" and echo.url == "/one"
    assert do(echo, "go_back") == "" and echo.url == "/"
    assert do(echo, "go_back") == f"{FAILURE} there is no page to go back to"
    assert do(echo, "go_forward", "go_forward") == "" and echo.url == "/two?x=1"
    assert do(echo, "go_forward") == f"{FAILURE} there is no page to go forward to"
    do(echo, "go_back", "goto [/three]")
    assert do(echo, "go_forward").startswith(FAILURE), "a new way forgets the old one"
    do(echo, "go_back")
    assert echo.url == "/one"
    do(echo, "click [1]")
    assert echo.site.requests[-1] == ("GET", "/one", None)
    do(echo, "go_back")
    assert echo.url == "/", "a page reached from itself is no new entry"


def test_forms_send_what_browsers_send(echo):
    do(echo, "type [3] [red mug & $5] [1]")
    assert echo.site.requests == [("GET", "/", None)], "only plain words can be typed"
    do(echo, "type [3] [red mug] [1]")
    assert echo.site.requests[-1][:2] == ("GET", "/find?q=red+mug")
    do(echo, "type [5] [two] [0]", "click [6]")
    assert echo.site.requests[-1] == ("POST", "/form", {"a": "1", "b": "two", "go": "yes"})
    assert echo.url == "/moved", "the address after the redirect"
    do(echo, "click [7]")
    assert echo.site.requests[-1][2] == {"a": "1", "b": "", "go": "no"}
    do(echo, "type [4] [x] [1]")
    sent = {"a": "x", "b": "", "go": "yes"}
    assert echo.site.requests[-1][2] == sent, "Enter presses the first button"
    do(echo, "type [3] [] [1]")
    assert echo.site.requests[-1][1] == "/find?q="


def test_typing_stays_until_the_page_is_left(echo):
    assert do(echo, "type [5] [two  words] [0]") == "typed two words in [5]"
    assert "[5] textbox b: two words" in echo.compact()
    assert "[5] textbox 'b' 'two words'" in echo.listing()
    assert "[4] textbox a: 1 " in echo.compact(), "what was there is still there"
    assert do(echo, "type [5] [new] [0]") == "typed new in [5]"
    assert do(echo, "type [5] [] [0]") == "emptied [5]"
    assert "[5] textbox b [6]" in echo.compact()
    do(echo, "type [5] [new] [0]", "click [1]", "go_back")
    assert "textbox b: " not in echo.compact()


def test_enter_goes_where_one_typed(echo):
    assert do(echo, "press [enter]") == f"{FAILURE} that key does nothing here"
    assert do(echo, "click [3]") == "typing goes to [3]"
    assert do(echo, "press [Enter]") == "" and echo.url == "/find?q="
    do(echo, "type [3] [mug] [0]", "press [enter]")
    assert echo.url == "/find?q=mug"
    assert do(echo, "press [enter]").startswith(FAILURE), "a new page waits for nothing"
    assert do(echo, "click [3]", "press [tab]").startswith(FAILURE)


def test_tabs_have_pages_and_histories_of_their_own(echo):
    do(echo, "click [1]")
    assert do(echo, "new_tab") == "" and (echo.url, echo.current) == ("about:blank", 1)
    assert echo.compact() == "new tab at about:blank\ntab 1 of /one | new tab"
    assert do(echo, "click [1]") == f"{FAILURE} there is no [1] here"
    assert do(echo, "go_back").startswith(FAILURE)
    do(echo, "goto [/three]")
    assert do(echo, "go_back").startswith(FAILURE), "nothing lies behind the first page"
    assert do(echo, "tab_focus [0]") == "" and echo.url == "/one"
    assert do(echo, "go_back") == "" and echo.url == "/"
    assert do(echo, "tab_focus [2]") == f"{FAILURE} there is no such tab"
    do(echo, "tab_focus [1]")
    assert echo.listing().startswith("Tab 0: / | Tab 1 (current): /three\nURL: /three\n")
    assert do(echo, "close_tab") == "" and (echo.url, echo.tabs) == ("/", ["/"])
    assert do(echo, "close_tab") == f"{FAILURE} there is no such tab"


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("click [0]", "there is no [0] here"),
        ("click [8]", "there is no [8] here"),
        ("type [99] [x] [1]", "there is no [99] here"),
        ("hover [8]", "there is no [8] here"),
        ("type [1] [x] [1]", "[1] is no textbox"),
        ("type [6] [x] [1]", "[6] is no textbox"),
        ("type [3] [a|b] [1]", "only plain words can be typed"),
        ("type [3] [a: b] [1]", "only plain words can be typed"),
        ("type [3] [日本] [1]", "only plain words can be typed"),
        ("scroll [down]", "the page has no more"),
        ("goto [nowhere]", "that is no address of these sites"),
        ("tab_focus [1]", "there is no such tab"),
    ],
)
def test_what_cannot_be_done_changes_nothing(echo, action, why):
    before, asked = echo.compact(), len(echo.site.requests)
    assert do(echo, action) == f"{FAILURE} {why}"
    assert (echo.compact(), len(echo.site.requests)) == (before, asked)


def test_what_belongs_to_no_form_is_not_sent(echo):
    echo.site.handle = lambda *_: Response(200, "/", "<p><button>a</button><input></p>")
    do(echo, "goto [/]")
    assert do(echo, "click [1]") == f"{FAILURE} [1] belongs to no form"
    assert do(echo, "type [2] [x] [1]") == f"{FAILURE} [2] belongs to no form"


def test_pointing_does_nothing(echo):
    before = echo.compact()
    assert do(echo, "hover [2]") == "pointing at [2]" and echo.compact() == before


def test_it_surfs_the_real_sites():
    site = make_state(0)
    browser = TextBrowser(site)
    product = next(iter(site.records["products"]))
    links = [node.name for node in browser.page.nodes]
    do(browser, f"click [{links.index('products') + 1}]", f"type [2] [{product}] [1]")
    assert browser.url == "/shop/products?" + urllib.parse.urlencode({"q": product})
    do(browser, "click [3]")
    assert browser.page.title == product
    box = next(i for i, n in enumerate(browser.page.nodes, 1) if n.name == "price")
    do(browser, f"type [{box}] [ten] [1]")
    assert browser.page.wrong == ("ten is no price",)
    assert f"[{box}] textbox price: ten" in browser.compact(), "to be corrected"
    do(browser, f"type [{box}] [10] [1]")
    assert site.records["products"][product]["price"] == "$10"
    assert browser.page.said == (f"saved: {product} | price | $10",)
    do(browser, "go_back")
    assert browser.url.startswith("/shop/products?q="), "forms leave no entries of their own"
    browser.open(make_state(1))
    assert browser.url == "/" and do(browser, "go_back").startswith(FAILURE)
