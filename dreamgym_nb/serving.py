"""A language model of this package as a server: ``dreamgym serve FOLDER``.

It speaks as much of the OpenAI interface as `served.ServedModel` asks for, so that many
rollouts, on other machines too, can share one experience model.  Requests that arrive
while the model writes wait, and are then written together, in one batch: that is what makes
a shared model cheap.  For models of billions of weights use vLLM; the client is the same.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.generation import Generation
from dreamgym_nb.language_model import LanguageModel

MAX_BYTES = 50_000_000  # of a request
MAX_NEW_TOKENS = 4096
_DONE = ("model", "prompt", "max_tokens", "temperature", "seed", "logprobs", "user")
# What a client may send as well, as long as it has the value that asks for nothing.
_NOTHING = {
    **{"n": 1, "best_of": 1, "top_p": 1, "stream": False, "echo": False, "stop": []},
    **{"suffix": "", "presence_penalty": 0, "frequency_penalty": 0, "add_special_tokens": False},
}


@dataclass
class _Request:
    """Prompts of one request, and where its texts go."""

    rows: list[list[int]]
    limit: int
    temperature: float
    seed: int | None
    answer: Future[list[Generation]] = field(default_factory=Future)


class Server:
    """Serves a language model until it is closed; a context manager.

        with Server(model.lm, "my-model") as server:
            there = ServedModel(server.url, "my-model")

    Args:
        lm: the model; it must not be trained meanwhile.
        name: under which it is asked.
        host: on which address it listens; ``"0.0.0.0"`` for other machines.
        port: 0 for a free one.

    Attributes:
        batches: how many rows were written together, for each batch.

    Raises:
        UserError: the port is taken.
    """

    def __init__(
        self, lm: LanguageModel, name: str = "dreamgym", host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.lm, self.name, self.batches = lm, name, []
        self._waiting: queue.Queue[_Request | None] = queue.Queue()
        self._open, self._line = True, threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        try:
            self._http = ThreadingHTTPServer((host, port), handler)
        except OSError as e:
            raise UserError(f"Port {port} of {host} cannot be listened on ({e}).") from e
        self._http.daemon_threads = True
        self.url = f"http://{host}:{self._http.server_address[1]}/v1"
        self._threads = [
            threading.Thread(target=self._http.serve_forever, daemon=True),
            threading.Thread(target=self._write, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; what was asked before is still answered, and later requests refused."""
        self._http.shutdown()
        with self._line:  # so that nobody comes after the None, where no answer would
            self._open = False
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._http.server_close()

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        while self._threads[0].is_alive():
            self._threads[0].join(0.5)

    def ask(self, request: _Request) -> list[Generation]:
        """Put a request in line and wait for its texts.

        Raises:
            ConnectionAbortedError: the server is closed.
        """
        with self._line:
            if not self._open:
                raise ConnectionAbortedError("this server is closed")
            self._waiting.put(request)
        return request.answer.result()

    def _write(self) -> None:
        """Write whatever waits, all of it together, until None comes."""
        while (first := self._waiting.get()) is not None:
            together = [first]
            while not self._waiting.empty():
                if (another := self._waiting.get()) is None:
                    self._waiting.put(None)
                    break
                together.append(another)
            # One batch has one limit, and drawn texts one generator: what differs goes apart.
            for part in _alike(together):
                self._answer(part)

    def _answer(self, part: Sequence[_Request]) -> None:
        rows = [row for request in part for row in request.rows]
        heat = [request.temperature for request in part for _ in request.rows]
        self.batches.append(len(rows))
        generator = torch.Generator(device=self.lm.device)
        if part[0].seed is not None:
            generator.manual_seed(part[0].seed)
        else:
            generator.seed()
        try:
            written = self.lm.generate(rows, part[0].limit, heat, generator=generator)
        except Exception as e:  # it belongs to who asked; the server goes on
            for request in part:
                request.answer.set_exception(e)
            return
        for request in part:
            request.answer.set_result(written[: len(request.rows)])
            del written[: len(request.rows)]


def _alike(requests: Sequence[_Request]) -> list[list[_Request]]:
    """Greedy ones of one limit together; sampled ones, with seeds of their own, alone."""
    parts: dict[object, list[_Request]] = {}
    for request in requests:
        key = id(request) if request.temperature else request.limit
        parts.setdefault(key, []).append(request)
    return list(parts.values())


class _Handler(BaseHTTPRequestHandler):
    """One connection; `owner` is set by the server."""

    owner: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """No line for each request."""

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            model = {"id": self.owner.name, "object": "model", "owned_by": "dreamgym"}
            self._say(200, {"object": "list", "data": [model]})
        else:
            self._refuse(404, "there are GET /v1/models and POST /v1/completions")

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if size > MAX_BYTES:
            self.close_connection = True
            self._refuse(413, f"a request has at most {MAX_BYTES:,} bytes")
            return
        sent = self.rfile.read(size)
        if self.path.rstrip("/") != "/v1/completions":
            self._refuse(404, "this model completes texts: POST /v1/completions")
            return
        try:
            request = self._read(json.loads(sent))
        except (ValueError, TypeError, AttributeError, OverflowError) as e:
            self._refuse(400, str(e))
            return
        try:
            written = self.owner.ask(request)
        except ConnectionAbortedError as e:  # an open connection outlives the one that listens
            self.close_connection = True
            self._refuse(503, str(e))
            return
        except Exception as e:
            self._refuse(500, f"{type(e).__name__}: {e}")
            return
        self._say(200, self._told(request, written))

    def _read(self, body: dict[str, Any]) -> _Request:
        """The request of a body.

        Raises:
            ValueError: it asks for what this server does not do; the message says for what.
        """
        for name, value in body.items():
            if name not in _DONE and value not in (None, _NOTHING.get(name)):
                raise ValueError(f"{name}={value!r} is not done here")
        if (name := body.get("model")) != self.owner.name:
            raise ValueError(f"there is no model {name!r} here but {self.owner.name!r}")
        prompts = body["prompt"] if isinstance(body.get("prompt"), list) else [body.get("prompt")]
        if not prompts or not all(isinstance(p, str) and p for p in prompts):
            raise ValueError("prompt is a text or a list of texts, none of them empty")
        limit = 16 if body.get("max_tokens") is None else int(body["max_tokens"])
        heat = float(body.get("temperature", 1.0))
        if not 0 < limit <= MAX_NEW_TOKENS or not 0 <= heat < math.inf:
            raise ValueError(f"max_tokens is 1 to {MAX_NEW_TOKENS}, temperature 0 or more")
        seed = None if body.get("seed") is None else int(body["seed"])
        if seed is not None and not -(2**63) <= seed < 2**64:
            raise ValueError("seed is a whole number of 64 bits")
        rows = [self.owner.lm.encode(p) for p in prompts]
        longest = self.owner.lm.context
        if longest and max(map(len, rows)) + limit > longest:
            raise ValueError(f"prompt and answer together have at most {longest} tokens")
        return _Request(rows, limit, heat, seed)

    def _told(self, request: _Request, written: Sequence[Generation]) -> dict[str, Any]:
        lm, choices = self.owner.lm, []
        for i, g in enumerate(written):
            ended = bool(g.tokens) and g.tokens[-1] == lm.eos
            text = lm.decode(g.tokens[:-1] if ended else g.tokens)
            choices.append(
                {
                    "index": i,
                    "text": text,
                    "finish_reason": "stop" if ended else "length",
                    "logprobs": {"token_logprobs": g.logprobs},
                }
            )
        read, wrote = sum(map(len, request.rows)), sum(len(g.tokens) for g in written)
        usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
        head = {"object": "text_completion", "created": int(time.time()), "model": self.owner.name}
        return {**head, "choices": choices, "usage": usage}

    def _refuse(self, status: int, why: str) -> None:
        self._say(status, {"error": {"message": why, "type": "invalid_request_error"}})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
