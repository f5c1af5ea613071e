"""The web: three small sites, WebArena's actions and its three kinds of goals.

Every episode starts on the home page, with its own copy of the sites, and
ends with ``stop [answer]``.  What an agent sees is the page in few words
(pages.py); events that change little give one line instead of a whole page.
The browser is a text browser, or a real one that obeys `FrontEnd`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds import surfers, web_state, web_teacher
from dreamgym_nb.worlds.base import FAILURE, SPLITS, World, check_splits
from dreamgym_nb.worlds.pages import compact, listing, parse_action
from dreamgym_nb.worlds.sites import SITES, SiteState, make_state
from dreamgym_nb.worlds.text_browser import FrontEnd, TextBrowser
from dreamgym_nb.worlds.web_state import REFUSED, STOPPED
from dreamgym_nb.worlds.web_tasks import evaluate, generate_tasks

NO_ACTION = f"{FAILURE} that is no action"


class Web(World):
    """The web world.

    Args:
        seed: which generated sites; tasks follow from it.
        sites: names of the sites; their contents do not depend on the others.
        max_steps: step limit (WebArena has 30).
        browser: the front end; a text browser when omitted.

    Attributes:
        site: the sites of the present episode.

    Raises:
        UserError: a site that does not exist.
    """

    name = "web"

    def __init__(
        self,
        seed: int = 0,
        sites: Sequence[str] = tuple(SITES),
        max_steps: int = 12,
        browser: FrontEnd | None = None,
    ) -> None:
        super().__init__()
        self.start: SiteState = make_state(seed, sites)
        self.site = self.start.copy()
        self.max_steps = max_steps
        self._browser = browser
        self._tasks = generate_tasks(self.start, seed)
        check_splits(self._tasks)

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``"train"`` or ``"test"``; no instruction is in both."""
        if split not in self._tasks:
            raise UserError(f"There is no split {split!r}; the splits are {SPLITS}.")
        return self._tasks[split]

    def __copy__(self) -> Web:
        if self._browser is not None:
            raise UserError(
                "Copies of this world would share one browser: make a world for each episode that "
                "is to run beside others."
            )
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def close(self) -> None:
        """Close the browser, if one was given."""
        if self._browser is not None:
            self._browser.close()

    # ---- the engine ---------------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        self.site = self.start.copy()
        # Copies of a world (vector.py) share what it holds: each episode has its own browser.
        self.browser = self._browser or TextBrowser()
        self.browser.open(self.site)
        self.raw = self.browser.html
        self.answer: str | None = None
        return self._page()

    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        parsed = parse_action(action)
        if parsed is None:
            return NO_ACTION, 0.0, False, {}
        if parsed.verb == "stop":
            self.answer = parsed.text
            success = evaluate(self.task.goal, self.site, self.browser.url, parsed.text)
            said = parsed.text.encode("ascii", "replace").decode() or "nothing"
            return f"{STOPPED}{said}", float(success), True, {}
        before = self.browser.current, len(self.browser.tabs)
        event = self.browser.do(parsed)
        self.raw = self.browser.html
        # Of a tab that comes back, what it said once is no news.
        same = (self.browser.current, len(self.browser.tabs)) == before
        shown = event.line or (self._news(action) if same else self._page())
        return shown, 0.0, False, {}

    def _page(self) -> str:
        browser = self.browser
        return compact(browser.page, browser.url, browser.tabs, browser.current)

    def _news(self, action: str) -> str:
        """What to say of a page that was loaded: one line if that says all of it."""
        page, full = self.browser.page, self._page()
        if page.wrong:
            return REFUSED + " ".join(page.wrong)
        said = "\n".join(page.said)
        if not said:
            return full
        state = web_state.fold(self.state, action, said)
        return said if "\n".join(web_state.read(state).lines) == full else f"{full}\n{said}"

    def admissible_actions(self) -> list[str]:
        """What works now, with ``text``, ``url`` and ``answer`` to be filled in."""
        actions = []
        for number, node in enumerate(self.browser.page.nodes, start=1):
            actions.append(f"click [{number}]")
            if node.role == "textbox":
                actions.append(f"type [{number}] [text] [1]")
        back = web_state.read(self.state).back
        if back and back[0] != web_state.UNKNOWN:
            actions.append("go_back")
        return [*actions, "goto [url]", "stop [answer]"]

    def _info(self, *, success: bool, failed: bool) -> dict[str, Any]:
        browser = self.browser
        return {
            **super()._info(success=success, failed=failed),
            "listing": listing(browser.page, browser.url, browser.tabs, browser.current),
            "url": browser.url,
        }

    # ---- the abstract state, the teacher, the behaviours ----------------------------------

    def fold(self, state: str, action: str, observation: str) -> str:
        """The page, the titles behind it and what was saved, see `web_state.fold`."""
        return web_state.fold(state, action, observation)

    def teacher(self, task: Task, state: str, action: str) -> str:
        """Trace R*: what the page has at that number; at the end wanted against got."""
        return web_teacher.explain(self.start, task, state, action)

    def verdict(self, task: Task, state: str, action: str) -> bool | None:
        """As `World.verdict`; a right answer counts on whichever page it was given."""
        parsed = parse_action(action)
        if parsed is None or parsed.verb != "stop":
            return None
        return web_teacher.verdict(task.goal, web_state.read(state), parsed.text)[0]

    @property
    def behaviours(self) -> Mapping[str, float]:
        """Shares of a log of mixed quality, see `surfers`."""
        return surfers.SHARES

    def act(self, behaviour: str, rng: np.random.Generator) -> str:
        """The next action of a behaviour in the present episode, see `surfers`."""
        return surfers.act(self, behaviour, rng)
