"""The sites on a loopback port, for a real browser and for people."""

from __future__ import annotations

import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.sites.server import SiteState


class _Server(ThreadingMixIn, WSGIServer):
    """Answers several connections at once, as browsers open several."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: a notebook is no place for a log of requests."""


class Loopback:
    """A running server; use it as a context manager or call `close`.

    Args:
        state: the sites, or a function that gives those of the present episode.
        port: the port on 127.0.0.1; 0 takes a free one.

    Attributes:
        url: address of the home page, without a slash at the end.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, state: SiteState | Callable[[], SiteState], port: int = 0) -> None:
        present = state if callable(state) else lambda: state

        def app(environ: Any, start_response: Any) -> list[bytes]:
            return present().wsgi_app(environ, start_response)

        try:
            self._server = make_server("127.0.0.1", port, app, _Server, _Quiet)
        except OSError as e:
            raise UserError(f"Port {port} is taken; give another one, or 0 for a free one.") from e
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(world_or_state: Any, port: int = 0) -> str:
    """Serve the sites in a background thread for as long as the process lives.

    Args:
        world_or_state: a `SiteState`, or a `Web` world, whose present episode
            is then shown and changed.
        port: the port on 127.0.0.1; 0 takes a free one.

    Returns:
        The address to open in a browser.
    """
    if isinstance(world_or_state, SiteState):
        return f"{Loopback(world_or_state, port).url}/"
    return f"{Loopback(lambda: world_or_state.site, port).url}/"
