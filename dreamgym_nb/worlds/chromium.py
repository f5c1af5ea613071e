"""The web world in a real Chromium: the same sites, pages, rewards and ends, only slower.

`ChromiumBrowser` obeys `FrontEnd` (text_browser.py) as the text browser does.
The sites of the present episode answer on a loopback port; Chromium, driven
through BrowserGym in the browser thread, loads their pages, follows links and
sends forms; what a page shows is read from its accessibility tree.  That
agents get the same from both is tested, so that one may train in the fast
one and trust it.

    world = ChromiumWeb(seed=0)
    observation, info = world.reset(options={"task": world.tasks("test")[0]})
    world.close()
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamgym_nb.worlds import text_browser as say
from dreamgym_nb.worlds.accessibility import page_of
from dreamgym_nb.worlds.browser_env import QuietEnv
from dreamgym_nb.worlds.browser_thread import CALL_SECONDS, BrowserThread, enter, leave
from dreamgym_nb.worlds.documents import BLANK
from dreamgym_nb.worlds.pages import PLAIN, Action, Page, local_url
from dreamgym_nb.worlds.sites import SiteState
from dreamgym_nb.worlds.sites.loopback import Loopback
from dreamgym_nb.worlds.text_browser import Event
from dreamgym_nb.worlds.web import Web

ABOUT_BLANK = "about:blank"
PATIENCE = 30_000  # milliseconds: nothing here is covered or moves, the machine may be busy
BACK_HOPS = 5  # entries of the same address that going back may have to pass


@dataclass
class _Tab:
    """The history of a tab as the text browser keeps it: addresses, and where one is."""

    history: list[str] = field(default_factory=list)
    position: int = -1


@dataclass(frozen=True)
class _Shown:
    """What was read after an action: everything that `FrontEnd` can be asked."""

    page: Page
    bids: tuple[str, ...]
    url: str
    tabs: tuple[str, ...]
    typing: bool  # whether a text box has the focus


class _Gate:
    """Stands before the sites: keeps the last HTML of each address."""

    def __init__(self) -> None:
        self.site: SiteState | None = None
        self.html: dict[str, str] = {}

    def wsgi_app(self, environ: Mapping[str, Any], start_response: Any) -> list[bytes]:
        """Answer a request of the browser."""
        path, query = environ.get("PATH_INFO", "/"), environ.get("QUERY_STRING", "")
        body = self.site.wsgi_app(environ, start_response)
        self.html[f"{path}?{query}" if query else path] = b"".join(body).decode("utf-8")
        return body


class ChromiumBrowser:
    """A real browser that shows the sites, as `FrontEnd` asks for.

    One browser tab serves all episodes; `close` gives it back.

    Args:
        timeout: seconds that one action may take.

    Attributes:
        site: the sites it visits.
        current: which tab is shown.

    Raises:
        UserError: packages or Chromium are missing.
    """

    def __init__(self, timeout: float = CALL_SECONDS) -> None:
        self._timeout = timeout
        self._tabs = [_Tab()]
        self.current = 0
        self._shown: _Shown | None = None
        self._start()

    def _start(self) -> None:
        """Take a place in the browser thread and a port; `close` gives both back."""
        self._thread = enter()
        gate = self._gate = _Gate()
        self._server = Loopback(lambda: gate)  # which must not keep this object alive
        self._box: list[QuietEnv] = []
        self._end = weakref.finalize(self, _give_back, self._thread, self._server, self._box)

    def close(self) -> None:
        """Close the tabs and stop serving the sites; `open` starts again."""
        self._end()

    # ---- what is shown -----------------------------------------------------------------

    @property
    def site(self) -> SiteState:
        """The sites it visits."""
        return self._gate.site

    @property
    def page(self) -> Page:
        """What is shown, with what was typed."""
        return self._shown.page

    @property
    def url(self) -> str:
        """Path and query of what is shown."""
        return self._shown.url

    @property
    def html(self) -> str:
        """The page as HTML, as the sites sent it."""
        return self._gate.html.get(self._shown.url, "")

    @property
    def tabs(self) -> list[str]:
        """The titles of all tabs."""
        return list(self._shown.tabs)

    # ---- actions -------------------------------------------------------------------------

    def open(self, site: SiteState) -> None:
        """Forget everything and show the home page of these sites."""
        if not (self._end.alive and self._thread.alive):
            self._start()
        self._gate.site = site
        self._gate.html.clear()
        self._tabs, self.current = [_Tab()], 0
        self._shown = self._in_thread(_open, self._thread, self._box, self._server.url)
        self._arrived()

    def do(self, action: Action) -> Event:
        """Do one action other than ``stop``; what cannot be done changes nothing."""
        verb, count = action.verb, len(self._shown.bids)
        if verb in ("click", "type", "hover") and not 0 < action.id <= count:
            return Event(say.NOT_HERE.format(action.id))
        return getattr(self, f"_{verb}")(action)

    def _bid(self, action: Action) -> str:
        return self._shown.bids[action.id - 1]

    def _role(self, action: Action) -> str:
        return self.page.nodes[action.id - 1].role

    def _click(self, action: Action) -> Event:
        click = f"click({self._bid(action)!r})"
        if self._role(action) != "textbox":
            return self._load(click)
        return self._stay(click, f"typing goes to [{action.id}]")

    def _type(self, action: Action) -> Event:
        if self._role(action) != "textbox":
            return Event(say.NO_TEXTBOX.format(action.id))
        if not PLAIN.fullmatch(action.text):
            return Event(say.NO_TEXT)
        bid = self._bid(action)
        fill = f"fill({bid!r}, {action.text!r})"
        if action.enter:
            return self._load(f"{fill}\npress({bid!r}, 'Enter')")
        said = f"typed {action.text} in [{action.id}]" if action.text else f"emptied [{action.id}]"
        return self._stay(fill, said)

    def _hover(self, action: Action) -> Event:
        return self._stay(f"hover({self._bid(action)!r})", f"pointing at [{action.id}]")

    def _press(self, action: Action) -> Event:
        if action.text.lower() != "enter" or not self._shown.typing:
            return Event(say.NO_KEY)
        return self._load("keyboard_press('Enter')")

    def _scroll(self, action: Action) -> Event:
        return Event(say.NO_SCROLL)  # a listing is the whole page

    def _goto(self, action: Action) -> Event:
        url = local_url(action.text)
        if url is None:
            return Event(say.NO_URL)
        return self._load(f"goto({self._server.url + url!r})")

    def _go_back(self, action: Action) -> Event:
        return self._revisit(-1, "go_back()", say.NO_BACK)

    def _go_forward(self, action: Action) -> Event:
        return self._revisit(1, "go_forward()", say.NO_FORWARD)

    def _new_tab(self, action: Action) -> Event:
        self._tabs.append(_Tab())
        self.current = len(self._tabs) - 1
        return self._stay("new_tab()")

    def _tab_focus(self, action: Action) -> Event:
        if action.id >= len(self._tabs):
            return Event(say.NO_TAB)
        self.current = action.id
        return self._stay(f"tab_focus({action.id})")

    def _close_tab(self, action: Action) -> Event:
        if len(self._tabs) == 1:
            return Event(say.NO_TAB)
        self._tabs.pop(self.current)
        self.current = max(0, self.current - 1)
        return self._stay(f"tab_close()\ntab_focus({self.current})")

    # ---- through the thread ------------------------------------------------------------------

    def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return self._thread.call(work, *arguments, timeout=self._timeout)

    def _stay(self, words: str, line: str = "") -> Event:
        """An action after which the same document is shown, or another tab's."""
        self._shown = self._in_thread(_act, self._box[0], words, self._server.url)
        return Event(line)

    def _load(self, words: str) -> Event:
        """An action that loads a page."""
        self._shown = self._in_thread(_act_and_load, self._box[0], words, self._server.url)
        self._arrived()
        return Event()

    def _arrived(self) -> None:
        """Note where one is; a page that is reached from itself is no new entry."""
        tab = self._tabs[self.current]
        if tab.position < 0 or tab.history[tab.position] != self.url:
            del tab.history[tab.position + 1 :]
            tab.history.append(self.url)
            tab.position += 1

    def _revisit(self, by: int, words: str, nowhere: str) -> Event:
        tab = self._tabs[self.current]
        if not 0 <= tab.position + by < len(tab.history):
            return Event(nowhere)
        tab.position += by
        to = tab.history[tab.position]
        self._shown = self._in_thread(_walk, self._box[0], words, self._server.url, to)
        return Event()


# ---- inside the thread ------------------------------------------------------------------------


def _open(thread: BrowserThread, box: list[QuietEnv], home: str) -> _Shown:
    """Show the home page in the only tab, of a new environment where there is none."""
    kwargs = {"start_url": f"{home}/", "goal": ""}
    if box and not box[0].serves("browsergym/openended", kwargs):
        box.pop().close()
    if not box:
        box.append(QuietEnv(thread, "browsergym/openended", kwargs, patience=PATIENCE))
        box[0].reset(None)
        return _look(box[0], home)
    for _ in box[0].env.context.pages[1:]:
        box[0].act("tab_close()")
    return _act_and_load(box[0], f"goto({home + '/'!r})", home)


def _act(env: QuietEnv, words: str, home: str) -> _Shown:
    """Do an action and read what is shown."""
    error = env.act(words).error
    if error:  # what cannot be done was refused before; this is a fault of ours or the browser's
        raise RuntimeError(f"Chromium did not do {words!r}: {error}")
    return _look(env, home)


def _act_and_load(env: QuietEnv, words: str, home: str) -> _Shown:
    """Do an action that loads a page, wait for the page and read it."""
    env.env.page.evaluate("() => { window.dreamgymOld = true; }")
    error = env.act(words).error
    if error:
        raise RuntimeError(f"Chromium did not do {words!r}: {error}")
    # A new document does not have the mark of the old one.
    env.env.page.wait_for_function(
        "() => !window.dreamgymOld && document.readyState === 'complete'"
    )
    return _look(env, home)


def _walk(env: QuietEnv, words: str, home: str, to: str) -> _Shown:
    """Walk through the browser's history until an address is reached.

    The browser makes an entry for a page that a form led back to, the text
    browser does not; and it does not go back to the answer of a form without
    asking.  Where walking does not lead there, the address is opened.
    """
    for _ in range(BACK_HOPS):
        if env.act(words).error or env.env.page.url == home + to:
            break
    if env.env.page.url != home + to:
        return _act_and_load(env, f"goto({home + to!r})", home)
    return _look(env, home)


def _look(env: QuietEnv, home: str) -> _Shown:
    page = env.env.page
    pages = env.env.context.pages
    titles = tuple(BLANK.page.title if p.url == ABOUT_BLANK else p.title() for p in pages)
    if page.url == ABOUT_BLANK:
        return _Shown(BLANK.page, (), ABOUT_BLANK, titles, False)
    shown, bids = page_of(env.tree(), page.title())
    typing = page.evaluate("() => document.activeElement instanceof HTMLInputElement")
    return _Shown(shown, tuple(bids), page.url.removeprefix(home), titles, bool(typing))


def _give_back(thread: BrowserThread, server: Loopback, box: list[QuietEnv]) -> None:
    def last() -> None:
        while box:
            box.pop().close()
        server.close()

    leave(thread, last)


class ChromiumWeb(Web):
    """The web world in a real Chromium.

    Args:
        options: of `Web`, all but ``browser``.

    Raises:
        UserError: packages or Chromium are missing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(browser=ChromiumBrowser(), **options)

    def __copy__(self) -> ChromiumWeb:
        """A world with a tab of its own, as vectors of worlds need it."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._browser = ChromiumBrowser()
        return twin


__all__ = ["ChromiumBrowser", "ChromiumWeb"]
