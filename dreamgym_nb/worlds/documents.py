"""HTML read as a text browser sees it: what a page shows, and what its nodes do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

from dreamgym_nb.worlds.pages import TEXT, Item, Page

LINES = frozenset(("h1", "h2", "h3", "p", "tr", "li", "nav"))


@dataclass(frozen=True)
class Form:
    """A form: where it is sent, how, and what is in it.

    Attributes:
        action: address.
        method: ``"get"`` or ``"post"``.
        boxes: node indices of its text boxes.
        button: node index of its first button, which Enter presses.
    """

    action: str
    method: str
    boxes: tuple[int, ...]
    button: int | None


@dataclass(frozen=True)
class Document:
    """A parsed page: what it shows, and what its nodes do.

    Attributes:
        page: what it shows.
        hrefs: node index → address, for links.
        fields: node index → (name, value) that it sends with its form.
        form_of: node index → index of its form.
        forms: the forms.
    """

    page: Page
    hrefs: dict[int, str]
    fields: dict[int, tuple[str, str]]
    form_of: dict[int, int]
    forms: tuple[Form, ...]


class _Reader(HTMLParser):
    """Collects lines, items and forms from HTML in one pass.

    What is not in one of the `LINES` is shown only if it is a link, a button
    or a text box.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title, self.lines, self.line = "", [], None
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.role = ""
        self.open: tuple[str, dict[str, str]] | None = None  # a link or button being read
        self.text: list[str] = []
        self.count = 0
        self.hrefs: dict[int, str] = {}
        self.fields: dict[int, tuple[str, str]] = {}
        self.form_of: dict[int, int] = {}
        self.forms: list[dict[str, Any]] = []
        self.in_form = self.in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if tag == "title":
            self.in_title = True
        elif tag in LINES:
            self._end_line()
            self.line, self.role = [], a.get("role", "")
        elif tag == "form":
            self.in_form = True
            self.forms.append({"action": a.get("action", ""), "method": a.get("method", "get")})
        elif tag in ("a", "button"):
            self._flush()
            self.open = (tag, a)
        elif tag == "input":
            self._flush()
            self._node("textbox", a.get("aria-label", ""), a.get("value", ""))
            self.fields[self.count - 1] = (a.get("name", ""), "")
            self._join_form("boxes")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self.in_title = False
        elif tag == "form":
            self.in_form = False
        elif tag in ("a", "button") and self.open is not None:
            kind, a = self.open
            self.open = None
            name = a.get("aria-label") or " ".join("".join(self.text).split())
            self.text = []
            self._node("link" if kind == "a" else "button", name)
            if kind == "a":
                self.hrefs[self.count - 1] = a.get("href", "")
            else:
                self.fields[self.count - 1] = (a.get("name", ""), a.get("value", ""))
                self._join_form("buttons")
        elif tag in LINES:
            self._end_line()
        elif tag in ("td", "th"):
            self._flush()

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title += data
        elif self.line is not None or self.open is not None:
            self.text.append(data)

    def _flush(self) -> None:
        """End a text; inside a link or button it goes on, it is their name."""
        if self.open is not None:
            return
        text, self.text = " ".join("".join(self.text).split()), []
        if text and self.line is not None:
            self.line.append(Item(TEXT, text))

    def _node(self, role: str, name: str, value: str = "") -> None:
        if self.line is None:
            self.line = []
        self.line.append(Item(role, name, value))
        self.count += 1

    def _join_form(self, part: str) -> None:
        if self.in_form:
            self.forms[-1].setdefault(part, []).append(self.count - 1)
            self.form_of[self.count - 1] = len(self.forms) - 1

    def _end_line(self) -> None:
        self._flush()
        line, self.line = self.line or [], None
        if self.role == "status":
            self.said += [item.name for item in line]
        elif self.role == "alert":
            self.wrong += [item.name for item in line]
        elif line:
            self.lines.append(tuple(line))
        self.role = ""


@lru_cache(maxsize=4096)
def parse(html: str) -> Document:
    """Read a page.  Equal pages are read once and shared."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader._end_line()
    forms = tuple(
        Form(f["action"], f["method"], tuple(f.get("boxes", ())), f.get("buttons", [None])[0])
        for f in reader.forms
    )
    # The heading repeats the title, which stands above every listing.
    lines = [line for line in reader.lines if line != (Item(TEXT, reader.title),)]
    page = Page(reader.title, tuple(lines), tuple(reader.said), tuple(reader.wrong))
    return Document(page, reader.hrefs, reader.fields, reader.form_of, forms)


BLANK = Document(Page("new tab", ()), {}, {}, {}, ())
