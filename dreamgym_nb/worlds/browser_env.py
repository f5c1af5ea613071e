"""BrowserGym's environment, made quiet: what runs inside the browser thread.

Adjustments, each for a reason that was met:

* one Chromium for all episodes and worlds, the system's, instead of a new
  download started at every reset;
* a chat that is a list of messages, because BrowserGym's opens a second
  browser window for it;
* no artificial delays, no screenshots: BrowserGym is asked for the raw page
  and only the accessibility tree is read from it;
* ids are set on the elements before the tree is read, as BrowserGym does.

Nothing here may be called from another thread than the browser's.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.accessibility import Element, elements
from dreamgym_nb.worlds.browser_thread import BrowserStopped, BrowserThread

T = TypeVar("T")

TRIES = 10  # a page that is just changing cannot be read; wait and try again
PAGE_MS = 30_000  # how long a page may take to load
ACTION_MS = 3_000  # how long an action waits for an element that is covered or moves
SLOW_PAGE = "waiting for scheduled navigations"  # Playwright's words: done, but the page is slow


@dataclass(frozen=True)
class Page:
    """What one can know of the browser now.

    Attributes:
        elements: the listed nodes of the active tab.
        titles: titles of the tabs.
        active: which tab is the active one.
        url: address of the active tab.
    """

    elements: tuple[Element, ...]
    titles: tuple[str, ...]
    active: int
    url: str


@dataclass(frozen=True)
class Outcome:
    """What an action led to.

    Attributes:
        reward: the task's.
        terminated: whether the task says that it is over.
        error: why the action failed; empty when it did not.
        info: the task's.
    """

    reward: float
    terminated: bool
    error: str
    info: Mapping[str, Any]


class _Messages:
    """BrowserGym's chat without a window."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.messages: list[dict[str, Any]] = []

    def add_message(self, role: str, msg: str) -> None:
        if role != "info":
            self.messages.append({"role": role, "timestamp": time.time(), "message": msg})

    def wait_for_user_message(self) -> None:
        """Nobody is there to wait for."""

    def close(self) -> None:
        """Nothing to close."""


class _OneBrowser:
    """Stands in for Playwright: every ``chromium.launch`` gives the one browser there is."""

    def __init__(self, thread: BrowserThread) -> None:
        self._thread = thread
        self.selectors = thread.playwright().selectors
        self.chromium = self

    def launch(self, **_: Any) -> _OneBrowser:
        return self

    def new_context(self, **options: Any) -> Any:
        return self._thread.browser().new_context(**options)

    def close(self) -> None:
        """The browser belongs to the thread, which closes it."""


@contextmanager
def _quiet(thread: BrowserThread) -> Iterator[None]:
    """While inside, BrowserGym uses our browser and opens no chat window."""
    core = importlib.import_module("browsergym.core")
    env = importlib.import_module("browsergym.core.env")
    before = core._PLAYWRIGHT, env.Chat, env.logger.level
    core._PLAYWRIGHT, env.Chat = _OneBrowser(thread), _Messages
    env.logger.setLevel(logging.ERROR)  # it would warn of the timeout that we set on purpose
    try:
        yield
    finally:
        core._PLAYWRIGHT, env.Chat = before[:2]
        env.logger.setLevel(before[2])


@cache
def _action_mapping(patience: int) -> Callable[[str], str]:
    """BrowserGym's own translation of ``click('13')``; made once, as it takes half a second.

    Args:
        patience: milliseconds that an action waits for its element; BrowserGym's half second
            is too little on a busy machine.
    """
    from browsergym.core.action.highlevel import HighLevelActionSet

    actions = HighLevelActionSet(["chat", "bid", "nav", "tab", "coord"], multiaction=True)
    patient = actions.python_includes.replace("timeout=500", f"timeout={patience}")
    actions.python_includes = patient
    return actions.to_python_code


def register(env_id: str) -> None:
    """Import the package that registers a task such as ``browsergym/miniwob.click-test``.

    Raises:
        UserError: the id has another form, or the package is missing.
    """
    space, _, rest = env_id.partition("/")
    benchmark = rest.partition(".")[0]
    if space != "browsergym" or not benchmark.isidentifier():
        raise UserError(
            f"{env_id!r} is no id of a BrowserGym task; one looks like "
            "'browsergym/miniwob.click-test'."
        )
    name = "browsergym.core" if benchmark == "openended" else f"browsergym.{benchmark}"
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as e:
        package = f"browsergym-{benchmark}"
        raise UserError(
            f"{env_id!r} needs the package {package} ({e}). Install it with: pip install {package}"
        ) from e


class QuietEnv:
    """One BrowserGym task, with its own context (cookies, tabs) of the one browser.

    Args:
        thread: the browser thread, in which all methods run.
        env_id: the task's Gymnasium id.
        task_kwargs: arguments of the task.
        settle: seconds to wait after an action before the page is read, for
            pages that change by timers; loading is waited for in any case.
        patience: milliseconds that an action waits for its element.
    """

    def __init__(
        self,
        thread: BrowserThread,
        env_id: str,
        task_kwargs: Mapping[str, Any] | None = None,
        settle: float = 0.0,
        patience: int = ACTION_MS,
    ) -> None:
        import gymnasium

        register(env_id)
        self.thread, self.env_id, self.task_kwargs = thread, env_id, dict(task_kwargs or {})
        try:
            self.env = gymnasium.make(
                env_id,
                disable_env_checker=True,
                action_mapping=_action_mapping(patience),
                use_raw_page_output=True,
                pre_observation_delay=settle,
                timeout=PAGE_MS,
                task_kwargs=self.task_kwargs,
            ).unwrapped
        except gymnasium.error.Error as e:
            raise UserError(f"BrowserGym has no task {env_id!r}: {e}") from e
        self.crashed = False

    def serves(self, env_id: str, task_kwargs: Mapping[str, Any]) -> bool:
        """Whether this environment can be reset for such a task (and its browser is alive)."""
        same = self.env_id == env_id and self.task_kwargs == task_kwargs
        return same and not self.crashed and self._alive()

    def _alive(self) -> bool:
        from playwright.sync_api import Error

        try:
            self.env.context.cookies()  # only an answer tells: a death may not have been heard of
        except Error:
            return False
        return True

    def reset(self, seed: int | None) -> str:
        """Start the task in a new context; returns its goal."""
        with _quiet(self.thread):
            observation, _ = self.env.reset(seed=seed)
        self.crashed = False
        self.env.context.on("page", self._watch)
        for page in self.env.context.pages:
            self._watch(page)
        return observation["goal"]

    def act(self, action: str) -> Outcome:
        """Do an action in BrowserGym's words, such as ``click('13')``.

        Raises:
            BrowserStopped: a page crashed.
        """
        from playwright.sync_api import Error

        self._stop_if_crashed()  # a crashed page answers nothing: do not ask it
        try:
            observation, reward, terminated, _, info = self.env.step(action)
        except Error:  # the action was done, but BrowserGym found the page changing
            after = self._patiently(lambda: self.env.post_step({}))
            observation, reward, terminated, _, info = after
        self._stop_if_crashed()
        error = observation["last_action_error"]
        if SLOW_PAGE in error:
            self.env.page.wait_for_load_state("domcontentloaded", timeout=PAGE_MS)
            error = ""
        return Outcome(float(reward), bool(terminated), error, info.get("task_info") or {})

    def tree(self) -> dict[str, Any]:
        """The accessibility tree of the active tab, with BrowserGym's ids."""
        return self._patiently(self._read_tree)

    def page(self) -> Page:
        """What can be seen now."""
        return self._patiently(self._read_page)

    def _read_tree(self) -> dict[str, Any]:
        from browsergym.core.observation import _post_extract, _pre_extract, extract_merged_axtree

        _pre_extract(self.env.page, lenient=True)
        tree = extract_merged_axtree(self.env.page)
        _post_extract(self.env.page)
        return tree

    def _read_page(self) -> Page:
        tabs = self.env.context.pages
        return Page(
            tuple(elements(self._read_tree())),
            tuple(tab.title() for tab in tabs),
            tabs.index(self.env.page),
            self.env.page.url,
        )

    def _patiently(self, read: Callable[[], T]) -> T:
        """Try again what fails because a page is just changing."""
        from playwright.sync_api import Error

        for left in reversed(range(TRIES)):
            try:
                return read()
            except Error:
                self._stop_if_crashed()
                if left == 0 or not self.env.context.browser.is_connected():
                    raise
                time.sleep(0.1)
                self.env.context.cookies()  # lets Playwright hear what has happened meanwhile
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the context; harmless where the browser is gone."""
        from playwright.sync_api import Error

        try:
            self.env.close()
        except Error:  # the browser died and took the context with it
            return

    def _watch(self, page: Any) -> None:
        page.on("crash", self._note_crash)

    def _note_crash(self, page: Any) -> None:
        self.crashed = True
        page.close()  # ends what still waits for its answer

    def _stop_if_crashed(self) -> None:
        if self.crashed:
            raise BrowserStopped("the page crashed")


__all__ = ["Outcome", "Page", "QuietEnv", "register"]
