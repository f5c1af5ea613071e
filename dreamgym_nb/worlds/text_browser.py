"""A browser that shows pages as text: it reads real HTML, follows links, fills in forms.

It talks to the sites in the same process and takes WebArena's actions.  A
real browser that makes the same `Page` of its accessibility tree and answers
with the same `Event` can take its place (`FrontEnd`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from dreamgym_nb.worlds.base import FAILURE
from dreamgym_nb.worlds.documents import BLANK, Document, parse
from dreamgym_nb.worlds.pages import (
    PLAIN,
    TEXT,
    Action,
    Item,
    Page,
    compact,
    listing,
    local_url,
)
from dreamgym_nb.worlds.sites import SiteState

NOT_HERE = f"{FAILURE} there is no [{{}}] here"
NO_TEXTBOX = f"{FAILURE} [{{}}] is no textbox"
NO_FORM = f"{FAILURE} [{{}}] belongs to no form"
NO_BACK = f"{FAILURE} there is no page to go back to"
NO_FORWARD = f"{FAILURE} there is no page to go forward to"
NO_URL = f"{FAILURE} that is no address of these sites"
NO_TAB = f"{FAILURE} there is no such tab"
NO_KEY = f"{FAILURE} that key does nothing here"
NO_SCROLL = f"{FAILURE} the page has no more"
NO_TEXT = f"{FAILURE} only plain words can be typed"


@dataclass(frozen=True)
class Event:
    """What an action did in a browser.

    Attributes:
        line: one line to say instead of the page; empty when a page was loaded.
    """

    line: str = ""


class FrontEnd(Protocol):
    """A browser as the world sees it."""

    site: SiteState

    def open(self, site: SiteState) -> None:
        """Forget everything and show the home page of these sites."""

    def do(self, action: Action) -> Event:
        """Do one action other than ``stop``."""

    def close(self) -> None:
        """Free what the browser holds; it is not used any more."""

    @property
    def page(self) -> Page:
        """What is shown, with what was typed."""

    @property
    def url(self) -> str:
        """Path and query of what is shown."""

    @property
    def html(self) -> str:
        """The page as HTML."""

    @property
    def tabs(self) -> list[str]:
        """The titles of all tabs."""

    current: int


@dataclass
class _Tab:
    """One tab: its history, the page it shows, what was typed into it."""

    history: list[str] = field(default_factory=list)
    position: int = -1
    document: Document = field(default_factory=lambda: BLANK)
    html: str = ""
    typed: dict[int, str] = field(default_factory=dict)
    focus: int | None = None


class TextBrowser:
    """A browser without a screen.

    Args:
        site: the sites it visits.
    """

    def __init__(self, site: SiteState | None = None) -> None:
        self.site = site
        self._tabs: list[_Tab] = [_Tab()]
        self.current = 0
        if site is not None:
            self.open(site)

    def open(self, site: SiteState) -> None:
        """Forget everything and show the home page of these sites."""
        self.site, self._tabs, self.current = site, [_Tab()], 0
        self._load("GET", "/")

    def close(self) -> None:
        """Nothing is held."""

    # ---- what is shown ---------------------------------------------------------------

    @property
    def _tab(self) -> _Tab:
        return self._tabs[self.current]

    @property
    def page(self) -> Page:
        """What is shown, with what was typed."""
        page, typed = self._tab.document.page, self._tab.typed
        if not typed:
            return page
        number, lines = -1, []
        for line in page.lines:
            items = []
            for item in line:
                if item.role != TEXT:
                    number += 1
                    if number in typed:
                        item = Item(item.role, item.name, typed[number])
                items.append(item)
            lines.append(tuple(items))
        return Page(page.title, tuple(lines), page.said, page.wrong)

    @property
    def url(self) -> str:
        """Path and query of what is shown."""
        tab = self._tab
        return tab.history[tab.position] if tab.history else "about:blank"

    @property
    def html(self) -> str:
        """The page as HTML."""
        return self._tab.html

    @property
    def tabs(self) -> list[str]:
        """The titles of all tabs."""
        return [tab.document.page.title for tab in self._tabs]

    def listing(self) -> str:
        """The page as WebArena's accessibility tree."""
        return listing(self.page, self.url, self.tabs, self.current)

    def compact(self) -> str:
        """The page in few words, as agent and experience model read it."""
        return compact(self.page, self.url, self.tabs, self.current)

    # ---- actions -----------------------------------------------------------------------

    def do(self, action: Action) -> Event:
        """Do one action other than ``stop``; what cannot be done changes nothing."""
        verb, tab = action.verb, self._tab
        if verb in ("click", "type", "hover") and not 0 < action.id <= len(tab.document.page.nodes):
            return Event(NOT_HERE.format(action.id))
        return getattr(self, f"_{verb}")(action, tab)

    def _click(self, action: Action, tab: _Tab) -> Event:
        node, document = action.id - 1, tab.document
        if node in document.hrefs:
            return self._load("GET", document.hrefs[node])
        if document.page.nodes[node].role == "textbox":
            tab.focus = node
            return Event(f"typing goes to [{action.id}]")
        return self._submit(node)

    def _type(self, action: Action, tab: _Tab) -> Event:
        node = action.id - 1
        if tab.document.page.nodes[node].role != "textbox":
            return Event(NO_TEXTBOX.format(action.id))
        if not PLAIN.fullmatch(action.text):
            return Event(NO_TEXT)
        if action.enter and node not in tab.document.form_of:
            return Event(NO_FORM.format(action.id))
        tab.typed[node], tab.focus = action.text, node
        if action.enter:
            return self._submit(node)
        if not action.text:
            return Event(f"emptied [{action.id}]")
        return Event(f"typed {action.text} in [{action.id}]")

    def _hover(self, action: Action, tab: _Tab) -> Event:
        return Event(f"pointing at [{action.id}]")

    def _press(self, action: Action, tab: _Tab) -> Event:
        if action.text.lower() != "enter" or tab.focus is None:
            return Event(NO_KEY)
        return self._submit(tab.focus)

    def _scroll(self, action: Action, tab: _Tab) -> Event:
        return Event(NO_SCROLL)

    def _goto(self, action: Action, tab: _Tab) -> Event:
        url = local_url(action.text)
        return Event(NO_URL) if url is None else self._load("GET", url)

    def _go_back(self, action: Action, tab: _Tab) -> Event:
        if tab.position < 1:
            return Event(NO_BACK)
        return self._revisit(tab.position - 1)

    def _go_forward(self, action: Action, tab: _Tab) -> Event:
        if tab.position + 1 >= len(tab.history):
            return Event(NO_FORWARD)
        return self._revisit(tab.position + 1)

    def _new_tab(self, action: Action, tab: _Tab) -> Event:
        self._tabs.append(_Tab())
        self.current = len(self._tabs) - 1
        return Event()

    def _tab_focus(self, action: Action, tab: _Tab) -> Event:
        if action.id >= len(self._tabs):
            return Event(NO_TAB)
        self.current = action.id
        return Event()

    def _close_tab(self, action: Action, tab: _Tab) -> Event:
        if len(self._tabs) == 1:
            return Event(NO_TAB)
        self._tabs.pop(self.current)
        self.current = max(0, self.current - 1)
        return Event()

    # ---- requests ------------------------------------------------------------------------

    def _submit(self, node: int) -> Event:
        """Send the form of a button, or of a text box in which Enter was pressed."""
        tab, document = self._tab, self._tab.document
        if node not in document.form_of:
            return Event(NO_FORM.format(node + 1))
        form = document.forms[document.form_of[node]]
        sent = {document.fields[box][0]: tab.typed.get(box, "") for box in form.boxes}
        pressed = form.button if node in form.boxes else node
        if pressed is not None and document.fields[pressed][0]:
            name, value = document.fields[pressed]
            sent[name] = value
        if form.method.lower() == "post":
            return self._load("POST", form.action, sent)
        return self._load("GET", f"{form.action}?{urlencode(sent)}")

    def _load(self, method: str, url: str, form: dict[str, str] | None = None) -> Event:
        """Show what a request gives; the page one comes from stays behind it.

        A page that is reached from itself is no new entry of the history.
        """
        tab, response = self._tab, self.site.handle(method, url, form)
        if tab.position < 0 or tab.history[tab.position] != response.url:
            del tab.history[tab.position + 1 :]
            tab.history.append(response.url)
            tab.position += 1
        self._show(response.html)
        return Event()

    def _revisit(self, position: int) -> Event:
        tab = self._tab
        tab.position = position
        self._show(self.site.handle("GET", tab.history[position]).html)
        return Event()

    def _show(self, html: str) -> None:
        tab = self._tab
        tab.html, tab.document, tab.focus = html, parse(html), None
        # A refused form comes back with what was typed still in it.
        nodes = enumerate(tab.document.page.nodes)
        tab.typed = {i: item.value for i, item in nodes if item.value}
