"""A real JupyterLab in a real Chromium: open a lesson, run it, touch what can be touched.

`Lab` is the server: JupyterLab on a free port of this machine alone, behind a token, with folders
of its own for settings, kernels and notebooks, without news or looking for updates. `Book` is one
notebook in it. Playwright may only be called from one thread, so all that is done to a `Book` runs
in `browser_thread`'s: `Lab.inside`. How the page is read stands in lab.js.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat

from dreamgym_nb.course import notebook as nb
from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import browser_thread

ROOT = Path(__file__).parents[1]
LOOK = Path(__file__).with_name("lab.js").read_text(encoding="utf-8")

START_SECONDS = 180  # for the server, and for the page and its kernel
RUN_SECONDS = 600  # that all cells may take together, on a machine that is busy
STILL_MS = 150  # nothing asked and nothing answered for so long: the widget is done
POLL_MS = 50
# A browser that is told to reach everything but this machine through here reaches nothing.
NOWHERE = "http://127.0.0.1:9"

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


def require_lab() -> None:
    """Check that JupyterLab and a browser are there.

    Raises:
        UserError: Something is missing; says what to install.
    """
    for name in ("jupyterlab", "ipykernel"):
        if not importlib.util.find_spec(name):
            raise UserError(
                f"{name} is missing. Install it with: pip install 'dreamgym_nb[course]'."
            )
    browser_thread.require_browser()


class Lab:
    """A JupyterLab server and a browser, for as long as the block lasts.

    Args:
        home: An empty folder for everything that they write.
        cache: Where the lessons keep what they have built.
    """

    def __init__(self, home: Path, cache: Path) -> None:
        require_lab()
        self.home, self.notebooks = home, home / "notebooks"
        self._token = secrets.token_urlsafe(16)
        self._environment = os.environ | {
            "JUPYTER_TOKEN": self._token,
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"),
            "DREAMGYM_CACHE": str(cache),
            "DREAMGYM_BOARDS": str(home / "boards"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")])),
        }

    def __enter__(self) -> Lab:
        for name, values in SETTINGS.items():
            path = self.home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")
        self.notebooks.mkdir()
        with (self.home / "server.log").open("w") as log:
            self._server = subprocess.Popen(self._command(), env=self._environment, stderr=log)
        self.address = self._wait_for_address()
        self._thread = browser_thread.enter()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.terminate()  # and with it its kernels
        self._server.wait(START_SECONDS)
        browser_thread.leave(self._thread)

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser"),
            *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--ServerApp.allow_root=True"),
            f"--ServerApp.root_dir={self.notebooks}",
            "--ServerApp.terminals_enabled=False",
            "--LabApp.extension_manager=readonly",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]

    def _wait_for_address(self) -> str:
        """The server's address; it tells the port that it found in a file."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._server.poll() is None:
            for path in (self.home / "runtime").glob("jpserver-*.json"):
                if text := path.read_text():
                    return f"http://127.0.0.1:{json.loads(text)['port']}"
            time.sleep(0.1)
        self._server.kill()
        log = (self.home / "server.log").read_text()
        raise RuntimeError(f"JupyterLab did not start:\n{log[-2000:]}")

    def add(self, source: Path, size: str | None = None) -> str:
        """Put a copy of a notebook without outputs where the server finds it; returns its name.

        Args:
            source: The notebook.
            size: Of a lesson, one of `sizes.SIZES`: set as papermill sets it.
        """
        book = nb.read(source)
        for cell in filter(nb.is_code, book.cells):
            cell.outputs, cell.execution_count = [], None
        if size is not None:
            after = [nb.has_tag(cell, nb.PARAMETERS_TAG) for cell in book.cells].index(True) + 1
            book.cells.insert(after, nbformat.v4.new_code_cell(f"SIZE = {size!r}"))
        nbformat.write(book, self.notebooks / source.name)
        return source.name

    def inside(self, work: Callable[..., Any], *args: Any, seconds: float = 600) -> Any:
        """Run ``work(*args)`` in the browser's thread; a browser that hangs is stopped."""
        return self._thread.call(work, *args, timeout=seconds)

    @contextmanager
    def open(self, name: str) -> Iterator[Book]:
        """Open a notebook in a tab of its own; its kernel ends with the block."""
        context = self._thread.browser().new_context(
            viewport={"width": 1280, "height": 900},
            proxy={"server": NOWHERE, "bypass": "127.0.0.1"},
        )
        try:
            page = context.new_page()
            book = Book(page, self.address)
            page.goto(f"{self.address}/lab/tree/{quote(name)}?reset&token={self._token}")
            book.begin()
            yield book
            page.evaluate("lab.close()")
        finally:
            context.close()


class Book:
    """A notebook that is open in JupyterLab.

    Attributes:
        page: Playwright's page, for what is not offered here.
    """

    def __init__(self, page: Any, address: str) -> None:
        self.page, self._address = page, address
        self._troubles: list[str] = []
        page.on("pageerror", lambda error: self._troubles.append(f"exception in the page: {error}"))
        page.on("console", self._on_console)
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        # A badge is a picture from elsewhere: the browser says that it did not get it.
        if message.type == "error" and message.location["url"].startswith(self._address):
            self._troubles.append(f"error in the console: {message.text}")

    def _on_request(self, request: Any) -> None:
        local = request.url.startswith((self._address, "data:", "blob:"))
        if not local and request.resource_type != "image":
            self._troubles.append(f"the page asked for {request.url}")

    def begin(self) -> None:
        """Wait for the notebook and its kernel, and listen to it."""
        self._wait("globalThis.jupyterapp && document.querySelector('.jp-Cell')", START_SECONDS)
        self.page.evaluate(LOOK)
        self._wait("lab.ready()", START_SECONDS)
        self.page.evaluate("lab.listen()")

    def _wait(self, until: str, seconds: float) -> None:
        """Wait until something is true in the page; asked seldom, for asking takes work."""
        self.page.wait_for_function(until, timeout=seconds * 1000, polling=POLL_MS)

    def run_all(self) -> list[str]:
        """Run all cells, and say what became of those that did not end well."""
        self._run("notebook:run-all-cells")
        wrong = self.page.evaluate("[...lab.unfinished(), ...lab.formulas()]")
        return [f"{self.where(cell['at'])}: {cell['why']}" for cell in wrong]

    def run_cell(self, at: int) -> None:
        """Run one cell again, so that its widget is as at the start."""
        self._run("notebook:run-cell", at)
        self.settle()

    def _run(self, command: str, at: int | None = None) -> None:
        self.page.evaluate("([command, at]) => lab.run(command, at ?? undefined)", [command, at])
        end = time.monotonic() + RUN_SECONDS
        while self.page.evaluate("lab.ran()") is None:
            if time.monotonic() > end:
                where = self.where(self.page.evaluate("lab.running()"))
                raise TimeoutError(f"{where} was still running after {RUN_SECONDS} s")
            self.page.wait_for_timeout(250)

    def settle(self) -> None:
        """Wait until the kernel has done what widgets asked of it, and the page shows it."""
        self.page.wait_for_timeout(STILL_MS / 3)  # a text box sends a little after the key
        self._wait(f"lab.quiet({STILL_MS})", RUN_SECONDS)

    def cells_with_widgets(self) -> list[int]:
        """The numbers of the cells that show a widget."""
        return self.page.evaluate("lab.withWidgets()")

    def unknown(self, at: int) -> list[str]:
        """Things in the widgets of a cell that can be touched, and that lab.js does not know."""
        return self.page.evaluate("at => lab.unknown(at)", at)

    def shown(self, at: int, but: str) -> str:
        """What the widgets of a cell show, all but the control with that tag."""
        return self.page.evaluate("([at, tag]) => lab.shown(at, tag)", [at, but])

    def where(self, at: int) -> str:
        """A cell in words."""
        first = self.page.evaluate("at => lab.source(at)", at).strip().partition("\n")[0]
        return f"cell {at} (`{first}`)"

    def troubles(self, at: int | None = None) -> list[str]:
        """What went wrong in kernel, page and console since this was last asked."""
        found = [f"the kernel said {e}" for e in self.page.evaluate("lab.takeErrors()")]
        if at is not None:
            found += [f"shown: {e}" for e in self.page.evaluate("at => lab.broken(at)", at)]
        found += self._troubles
        self._troubles = []
        return list(dict.fromkeys(found))
