"""One thread in which a real Chromium lives.

Playwright's plain interface may only be called from the thread that started
it, and it refuses a thread that runs an asyncio loop, which Jupyter's main
thread does.  So everything that touches a browser here runs in one thread of
its own: `BrowserThread.call` hands work over and waits for the answer.

All worlds of a process share that thread and one headless Chromium; each
world has a browser context (cookies, tabs) to itself.  The browser starts
with the first piece of work and ends with the last world, or with the
process.  A page can hang for ever; work that takes longer than its timeout
ends the browser, never the program, and the next work starts a new one.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import queue
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

import psutil

from dreamgym_nb.errors import UserError
from dreamgym_nb.machine import find_chromium

T = TypeVar("T")

CALL_SECONDS = 60.0  # how long a piece of work may take unless its caller says otherwise
GRACE_SECONDS = 10.0  # how long the thread may take to notice that its browser is gone

PACKAGES = ("playwright", "browsergym.core")


class BrowserStopped(RuntimeError):
    """The browser hung or died during a piece of work; the next work starts a new one."""


def require_browser() -> str:
    """Check that packages and browser are there; returns the browser's path.

    Raises:
        UserError: something is missing; says what to install.
    """
    for name in PACKAGES:
        parent = name.partition(".")[0]
        if not importlib.util.find_spec(parent) or not importlib.util.find_spec(name):
            advice = "Install it with: pip install 'dreamgym_nb[browser]'"
            if sys.version_info >= (3, 13):
                advice += " under Python 3.10 to 3.12 (its Playwright has no build for newer ones)"
            raise UserError(f"The package {parent} is needed to drive a real browser. {advice}.")
    return find_chromium()


class BrowserThread:
    """The thread, its Playwright and its Chromium.

    `call`, `post` and `close` are for every thread; `playwright` and
    `browser` only for work that runs inside.
    """

    def __init__(self) -> None:
        self._executable = require_browser()
        # A switch that Chromium does not know and ignores: by it a hung browser is found again.
        self._mark = f"--dreamgym-browser={uuid.uuid4().hex}"
        self._inbox: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple] | None] = (
            queue.SimpleQueue()
        )
        self._playwright: Any = None
        self._browser: Any = None
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="dreamgym-browser", daemon=True)
        self._thread.start()

    # ---- for every thread ----------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether this thread takes work (a forked child has the object, not the thread)."""
        return self._thread.is_alive() and self.pid == os.getpid()

    def call(self, work: Callable[..., T], *args: Any, timeout: float = CALL_SECONDS) -> T:
        """Run ``work(*args)`` in the thread and return what it returns.

        Args:
            work: the function; what it raises is raised here.
            args: its arguments.
            timeout: seconds; work that takes longer loses its browser.

        Raises:
            BrowserStopped: the time was up.
        """
        if threading.current_thread() is self._thread:
            return work(*args)
        future = self.post(work, *args)
        try:
            return future.result(timeout)
        except FutureTimeout:
            if future.done():  # the work itself raised a TimeoutError
                raise
        self.kill()
        try:
            future.exception(GRACE_SECONDS)
        except FutureTimeout:  # not even that ended the work: leave this thread behind
            self._inbox.put(None)
            self.pid = -1
        raise BrowserStopped(f"the browser did not answer within {timeout:g} s and was stopped")

    def post(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Hand over ``work(*args)`` without waiting for it."""
        future: Future[T] = Future()
        self._inbox.put((future, work, args))
        return future

    def kill(self) -> None:
        """End the browser's processes from outside."""
        for process in self.processes():
            try:
                if self._mark in process.cmdline():
                    process.kill()
            except psutil.Error:  # it went by itself meanwhile
                continue

    def processes(self) -> list[psutil.Process]:
        """The processes below this one: Playwright's driver and the browser's."""
        return psutil.Process().children(recursive=True)

    def close(self) -> None:
        """End browser and thread and wait for that; harmless when they have ended."""
        if self.alive:
            self.post(self.stop)  # behind what was posted before; a second stop is never reached
            self._thread.join(GRACE_SECONDS)

    # ---- for work inside the thread ------------------------------------------------

    def playwright(self) -> Any:
        """Playwright; started when needed."""
        if self._playwright is None:
            from playwright.sync_api import sync_playwright

            self._playwright = sync_playwright().start()
        return self._playwright

    def browser(self) -> Any:
        """The browser of all worlds; started when there is none, or the last one died."""
        if self._browser is None or not self._browser.is_connected():
            # Signals stay ours: interrupting a notebook's cell must not end the browser.
            self._browser = self.playwright().chromium.launch(
                executable_path=self._executable,
                headless=True,
                chromium_sandbox=False,  # containers and root have none
                args=[self._mark, "--disable-gpu"],
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        return self._browser

    def stop(self) -> None:
        """End browser and Playwright, and take no more work."""
        self._inbox.put(None)
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()
        self._browser = self._playwright = None

    def _run(self) -> None:
        while (item := self._inbox.get()) is not None:
            future, work, args = item
            try:
                future.set_result(work(*args))
            except BaseException as e:  # it belongs to the caller, who raises it
                future.set_exception(e)
            del item, future, work, args  # an idle thread must keep nothing alive


_lock = threading.Lock()
_shared: BrowserThread | None = None
_users = 0
_started: list[BrowserThread] = []  # those that may still run


def enter() -> BrowserThread:
    """The process's browser thread, for one more user; give it back with `leave`.

    Raises:
        UserError: packages or browser are missing.
    """
    global _shared, _users
    with _lock:
        if _shared is None or not _shared.alive:
            _shared, _users = BrowserThread(), 0
            _started[:] = [t for t in _started if t.alive] + [_shared]
        _users += 1
        return _shared


def leave(thread: BrowserThread, last_work: Callable[[], Any] = lambda: None) -> None:
    """Give the thread back; the last user's leaving ends the browser.

    Only hands the work over, so that it may run while objects are thrown away.

    Args:
        thread: what `enter` returned.
        last_work: what is still to be done in the thread, such as closing a tab.
    """

    def inside() -> None:
        global _shared, _users
        try:
            last_work()
        finally:
            with _lock:
                if thread is _shared:
                    _users -= 1
                if thread is _shared and _users <= 0:
                    _shared = None
                    thread.stop()

    if thread.alive:
        thread.post(inside)


@atexit.register
def _at_exit() -> None:
    """Wait for all threads: one that is inside Playwright must not outlive the interpreter."""
    for thread in _started:
        thread.close()


__all__ = [
    "BrowserStopped",
    "BrowserThread",
    "enter",
    "leave",
    "require_browser",
]
