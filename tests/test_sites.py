"""The sites are real: every link leads somewhere, forms change records, nothing typed is code."""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from html.parser import HTMLParser

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.documents import parse
from dreamgym_nb.worlds.sites import make_state, serve
from dreamgym_nb.worlds.sites.loopback import Loopback
from dreamgym_nb.worlds.sites.schema import NONE, YOU
from dreamgym_nb.worlds.sites.server import PAGE_SIZE, STYLE

VOID = {"meta", "link", "input"}


@pytest.fixture
def site():
    return make_state(0)


def first(site, plural, n=0):
    """Return key and address of a record."""
    key = list(site.records[plural])[n]
    return key, site.url(plural, key)


def lines(response):
    """Return the lines of a page as lists of names."""
    return [[item.name for item in line] for line in parse(response.html).page.lines]


def crawl(site):
    """Return every page that links lead to, by address."""
    found, todo = {}, ["/"]
    while todo:
        url = todo.pop()
        if url not in found:
            found[url] = site.handle("GET", url)
            todo += parse(found[url].html).hrefs.values()
    return found


# ---- pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_every_link_leads_to_a_page_and_every_record_is_reached(seed):
    site = make_state(seed)
    pages = crawl(site)
    assert {r.status for r in pages.values()} == {200}
    wanted = {site.url(p, k) for p in site.records for k in site.records[p]}
    assert wanted <= set(pages)
    assert 180 < len(pages) < 400
    titles = {}
    for url, response in pages.items():
        titles.setdefault(parse(response.html).page.title, []).append(url)
    assert not {t: u for t, u in titles.items() if len(u) > 1}, "a title names one page"


def test_every_page_is_small_and_well_formed(site):
    for url, response in crawl(site).items():
        check = Checker()
        check.feed(response.html)
        check.close()
        assert check.open == [] and check.wrong == [], url
        assert check.count["h1"] == check.count["title"] == 1
        assert response.html.startswith("<!DOCTYPE html>\n<html lang=")
        page = parse(response.html).page
        assert len(page.lines) <= 13 and len(page.nodes) <= 16, url
        for node in page.nodes:
            assert node.name, f"{url} has a {node.role} without a name"


class Checker(HTMLParser):
    """Counts tags and complains where they do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.count = [], [], Counter()

    def handle_starttag(self, tag, attrs):
        self.count[tag] += 1
        if tag in ("form", "a", "button") and tag in self.open:
            self.wrong.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")


def test_lists_are_shown_a_few_rows_at_a_time(site):
    orders = list(site.records["orders"])
    seen, url, turns = [], "/shop/orders", 0
    while url:
        document = parse(site.handle("GET", url).html)
        names = [node.name for node in document.page.nodes]
        seen += [name for name in names if name.startswith("order ")]
        turns += 1
        assert document.page.title == f"orders page {turns}"
        assert ("previous" in names) == (turns > 1)
        url = document.hrefs[names.index("next")] if "next" in names else ""
    assert seen == [f"order {key}" for key in orders]
    assert turns == -(-len(orders) // PAGE_SIZE)
    last = parse(site.handle("GET", "/shop/orders?page=99").html).page
    assert last == parse(site.handle("GET", f"/shop/orders?page={turns}").html).page
    for odd in ("0", "-1", "x", "", "9" * 50):
        page = parse(site.handle("GET", f"/shop/orders?page={odd}").html).page
        assert page.title in ("orders page 1", f"orders page {turns}")


def test_search_finds_what_has_all_the_words(site):
    key, record = next(iter(site.records["posts"].items()))
    query = urllib.parse.urlencode({"q": record["title"].upper()})
    response = site.handle("GET", f"/forum/posts?{query}")
    assert [f"post {key}", record["title"]] in lines(response)
    found = [line for line in lines(response) if line[0].startswith("post ")]
    assert found == [[f"post {key}", record["title"]]]
    word = record["title"].split()[0]
    page = parse(site.handle("GET", f"/forum/posts?q={word}").html).page
    matches = sum(word in r["title"].split() for r in site.records["posts"].values())
    title = f"posts for {word}"
    assert page.title == (title if matches <= PAGE_SIZE else f"{title} page 1")
    assert ["no results"] in lines(site.handle("GET", "/forum/posts?q=zebra"))
    assert "no results" not in site.handle("GET", "/forum/posts?q=").html


def test_further_pages_of_a_search_keep_the_query(site):
    for record in site.records["posts"].values():
        record["title"] = "same " + record["title"]
    document = parse(site.handle("GET", "/forum/posts?q=same").html)
    names = [node.name for node in document.page.nodes]
    url = document.hrefs[names.index("next")]
    assert url == "/forum/posts?q=same&page=2"
    document = parse(site.handle("GET", url).html)
    assert document.page.title == "posts for same page 2"
    names = [node.name for node in document.page.nodes]
    assert document.hrefs[names.index("previous")] == "/forum/posts?q=same"


def test_a_list_on_a_record_shows_what_belongs_to_it(site):
    for customer in site.records["customers"]:
        url = site.url("customers", customer, "orders")
        mine = [k for k, o in site.records["orders"].items() if o["customer"] == customer]
        shown = [line[0] for line in lines(site.handle("GET", url)) if line[0].startswith("order ")]
        assert shown == [f"order {k}" for k in mine[:PAGE_SIZE]]
        assert site.value("customers", customer, "number of orders") == str(len(mine))


def test_computed_fields_follow_the_records(site):
    _, url = first(site, "orders")
    for order in site.records["orders"].values():
        order["status"] = "paid"
    assert ["pending orders", "0"] in lines(site.handle("GET", "/shop/report"))
    site.handle("POST", url, {"set": "pending"})
    assert ["pending orders", "1"] in lines(site.handle("GET", "/shop/report"))
    for key, product in site.records["products"].items():
        product["stock"] = "5" if key == list(site.records["products"])[4] else "9"
    assert site.value("report", "report", "least stock") == list(site.records["products"])[4]
    for issue in site.records["issues"].values():
        issue["state"] = "closed"
    key, url = first(site, "issues", 2)
    site.handle("POST", url, {"set": "reopen"})
    assert site.value("overview", "overview", "open issues") == "1"
    project = site.records["issues"][key]["project"]
    assert site.value("overview", "overview", "busiest project") == project


@pytest.mark.parametrize(
    "url",
    [
        "/shop",
        "/nowhere",
        "/shop/orders/1000",
        "/shop/orders/x/y",
        "/shop/orders/x/y/z",
        "/forum/orders",
        "/code/projects//",
        "/shop/report/report",
        "/static/",
        "/static/../server.py",
        "//[",
    ],
)
def test_what_is_not_there_is_a_page_that_leads_home(site, url):
    response = site.handle("GET", url)
    if url == "/code/projects//":
        assert response.status == 200
        return
    document = parse(response.html)
    assert (response.status, response.url, document.page.title) == (404, url, "not found")
    assert list(document.hrefs.values()) == ["/"]
    assert site.handle("POST", url, {"set": "paid"}).status == 404 and site.journal == []


def test_what_was_saved_is_not_said_to_a_stylesheet_or_an_icon(site):
    _, url = first(site, "orders")
    assert site.dispatch("POST", url, {"set": "paid"}).status == 303
    for other in (STYLE, "/favicon.ico"):
        site.handle("GET", other)
    assert len(parse(site.handle("GET", url).html).page.said) == 1


def test_only_get_and_post_are_answered(site):
    assert site.dispatch("DELETE", "/shop/orders").status == 405
    assert site.handle("GET", "http://shop.local:80/shop/orders").status == 200


# ---- changes --------------------------------------------------------------------------


def test_every_button_sets_its_field_and_says_so_once(site):
    for plural, kind in site.kinds.items():
        for button in kind.buttons:
            key, url = first(site, plural)
            response = site.handle("POST", url, {"set": button.label})
            title = site.title(plural, key)
            page = parse(response.html).page
            assert (response.status, response.url) == (200, url)
            assert page.said == (f"saved: {title} | {button.field} | {button.value}",)
            assert [button.field, button.value] in lines(response)
            assert site.value(plural, key, button.field) == button.value
            assert site.journal[-1] == (title, button.field, button.value)
            assert parse(site.handle("GET", url).html).page.said == (), "said once"


@pytest.mark.parametrize(
    ("plural", "label", "typed", "field", "value"),
    [
        ("orders", "note", "  two   words ", "note", "two words"),
        ("products", "price", "25", "price", "$25"),
        ("products", "price", "$025", "price", "$25"),
        ("products", "stock", "7", "stock", "7"),
        ("users", "message", "hello", "last message", "hello"),
        ("posts", "comment", "good idea", "last comment", "good idea"),
    ],
)
def test_what_is_typed_is_saved(site, plural, label, typed, field, value):
    key, url = first(site, plural)
    response = site.handle("POST", url, {label: typed})
    assert response.status == 200 and [field, value] in lines(response)
    assert site.journal == [(site.title(plural, key), field, value)]


@pytest.mark.parametrize(
    ("plural", "form", "why"),
    [
        ("products", {"price": "ten"}, "ten is no price"),
        ("products", {"price": "-5"}, "-5 is no price"),
        ("products", {"price": "1000"}, "1000 is no price"),
        ("products", {"price": "٣"}, "٣ is no price"),
        ("products", {"stock": "$5"}, "$5 is no number"),
        ("products", {"price": "$5", "stock": "few"}, "few is no number"),
        ("products", {"price": " ", "stock": ""}, "nothing was typed"),
        ("products", {}, "nothing was typed"),
        ("issues", {"assignee": "nobody"}, "nobody is no developer"),
        ("orders", {"note": "a" * 61}, "a" * 61 + " is no short text"),
        ("orders", {"set": "lost"}, "nothing was typed"),
        ("files", {"lines": "3"}, "nothing was typed"),
    ],
)
def test_a_refused_form_changes_nothing_and_keeps_what_was_typed(site, plural, form, why):
    before = site.copy().records
    _, url = first(site, plural)
    response = site.handle("POST", url, form)
    page = parse(response.html).page
    assert (response.status, page.wrong, page.said) == (422, (why,), ())
    assert site.records == before and site.journal == []
    shown = {node.name: node.value for node in page.nodes if node.role == "textbox"}
    assert shown == {name: form.get(name, "").strip() for name in shown}


def test_two_text_boxes_are_saved_together(site):
    key, url = first(site, "products")
    response = site.handle("POST", url, {"price": "5", "stock": "1"})
    said = (f"saved: {key} | price | $5", f"saved: {key} | stock | 1")
    assert parse(response.html).page.said == said


@pytest.mark.parametrize(
    ("owner", "label", "plural", "field"),
    [("boards", "new post", "posts", "board"), ("projects", "new issue", "issues", "project")],
)
def test_something_new_gets_a_page_of_its_own(site, owner, label, plural, field):
    before = set(site.records[plural])
    key, url = first(site, owner, 1)
    site.handle("POST", url, {label: "very new"})
    (number,) = set(site.records[plural]) - before
    assert int(number) == max(map(int, before)) + 1
    record = site.records[plural][number]
    assert (record["title"], record[field], record["author"]) == ("very new", key, YOU)
    page = site.handle("GET", site.url(plural, number))
    assert page.status == 200 and ["author", YOU] in lines(page)
    assert record["last comment"] == NONE
    assert number in site.handle("GET", site.url(owner, key, plural)).html
    again = site.handle("POST", url, {label: "newer"})
    assert again.status == 200 and str(int(number) + 1) in site.records[plural]


def test_a_copy_is_independent(site):
    key, url = first(site, "orders")
    copy = site.copy()
    copy.handle("POST", url, {"note": "only here"})
    assert copy.journal and not site.journal
    assert site.records["orders"][key]["note"] == NONE
    assert site.copy().records == site.records


EVIL = "<script>alert('x')</script> \"&amp;</table>"


def test_what_people_write_is_never_code(site):
    _, url = first(site, "orders")
    response = site.handle("POST", url, {"note": EVIL})
    assert "<script" not in response.html and "&lt;script&gt;" in response.html
    assert ["note", EVIL] in lines(response), "and it reads as it was written"
    refused = site.handle("POST", first(site, "products")[1], {"price": EVIL})
    assert "<script" not in refused.html
    box = next(n for n in parse(refused.html).page.nodes if n.name == "price")
    assert box.value == EVIL
    searched = site.handle("GET", "/shop/orders?" + urllib.parse.urlencode({"q": EVIL}))
    assert "<script" not in searched.html
    _, board = first(site, "boards")
    site.handle("POST", board, {"new post": EVIL})
    for page in crawl(site).values():
        check = Checker()
        check.feed(page.html)
        assert check.wrong == [] and not check.count["script"]


# ---- over HTTP --------------------------------------------------------------------------


def test_a_real_browser_gets_the_same_pages(site):
    twin, (key, url) = site.copy(), first(site, "orders", 3)
    with Loopback(site) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        for page in ("/", "/shop/orders?page=2", url):
            with urllib.request.urlopen(server.url + page, timeout=20) as answer:
                assert answer.read().decode() == twin.handle("GET", page).html
                assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
                assert answer.headers["Cache-Control"] == "no-store"
        form = urllib.parse.urlencode({"note": "good idea"}).encode()
        with urllib.request.urlopen(server.url + url, form, timeout=20) as answer:
            assert answer.url == server.url + url, "the redirect was followed"
            assert answer.read().decode() == twin.handle("POST", url, {"note": "good idea"}).html
        assert site.journal == [(f"order {key}", "note", "good idea")]
        with urllib.request.urlopen(server.url + STYLE, timeout=20) as answer:
            assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
        for address, data, status in (
            ("/nowhere", None, 404),
            (url, b"note=", 422),
            (url, b"\xff\xfe=%zz", 422),
        ):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(server.url + address, data, timeout=20)
            assert error.value.code == status
            error.value.close()
        with pytest.raises(UserError, match="is taken; give another one"):
            Loopback(site, int(server.url.rpartition(":")[2]))
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url, timeout=5)


def test_serve_gives_an_address_to_open(site):
    url = serve(site)
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert "<title>home</title>" in answer.read().decode()
