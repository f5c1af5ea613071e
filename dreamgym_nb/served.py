"""A language model on another machine as the experience model's: the OpenAI interface as client.

vLLM, llama.cpp, Ollama, `dreamgym serve` and the paid services all speak it.  Such a model
is asked and not trained: either it was trained before, on our format, and is then served; or
it is a large one that has never seen the format, and reads it off worked examples that
stand before every prompt (`worked_examples`).

    there = ServedModel("http://gpu-box:8000/v1", "my-experience-model")
    model = ExperienceModel(there, ReplayBuffer(transitions))
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any
from urllib.parse import urlsplit

import httpx
import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Transition
from dreamgym_nb.prompts import EOS, Format, experience_prompt, experience_target
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.seeds import generator_for
from dreamgym_nb.writer import Written

AGAIN = (408, 409, 429, 500, 502, 503, 504)  # answers that another try may mend
BETWEEN = "\n\n"  # worked examples, and where a model that goes on with the next one is stopped
ASKED = """\
You are the simulator of a text environment. You are given a task, the state, and an action. \
Write what happens, in exactly the format of the examples: first your reasoning, then the next \
observation, the reward and whether the episode is over. Write nothing else."""


class ServedModel:
    """A `writer.Writer` whose weights are elsewhere; a context manager, which closes it.

    Args:
        url: base address up to ``/v1``.
        name: of the model at that address.
        key: sent as bearer token; the variable ``OPENAI_API_KEY`` when omitted.
        preamble: stands before every prompt, see `worked_examples`; empty for a model that
            was trained on the format.
        chat: ask ``/chat/completions``, the preamble being the system's message, instead of
            ``/completions``.
        extra: further fields of every request, such as ``{"add_special_tokens": False}``,
            which vLLM needs for a model that was trained without a beginning-of-text token.
        parallel: requests at once.
        prompts_per_request: for ``/completions``; a chat takes one each.
        tries: of each request, with 1, 2, 4, … seconds between them.
        timeout: seconds that one try may take.
        transport: of httpx, for tests.

    Attributes:
        requests: made so far, further tries included.
        tokens: ``(read, written)`` so far as the server counts them.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        key: str | None = None,
        preamble: str = "",
        chat: bool = False,
        extra: Mapping[str, Any] | None = None,
        parallel: int = 8,
        prompts_per_request: int = 32,
        tries: int = 4,
        timeout: float = 120.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url, self.name, self.preamble, self.chat = url.rstrip("/"), name, preamble, chat
        self.extra, self.parallel, self.tries = dict(extra or {}), parallel, tries
        self.prompts_per_request = 1 if chat else prompts_per_request
        self.requests, self.tokens, self._books = 0, (0, 0), threading.Lock()
        self._luck = generator_for("served", 0)
        key = os.environ.get("OPENAI_API_KEY", "") if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy of the environment cannot reach what only this machine knows.
        away = urlsplit(self.url).hostname not in ("localhost", "127.0.0.1", "::1")
        self._client = httpx.Client(
            headers=headers, timeout=timeout, transport=transport, trust_env=away
        )

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, which are kept open from one request to the next."""
        self._client.close()

    @property
    def device(self) -> torch.device:
        """Where randomness is drawn: here."""
        return torch.device("cpu")

    @property
    def weights(self) -> object:
        """What answers depend on, as far as it is known here."""
        return (self.url, self.name, self.preamble, self.chat, json.dumps(self.extra))

    def continue_texts(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        temperatures: Sequence[float],
        generator: torch.Generator | None = None,
    ) -> list[Written]:
        """See `writer.Writer.continue_texts`.

        Greedy prompts go together; sampled ones alone, each with a seed from `generator`
        (of its own, when omitted).  So they repeat where a server keeps to seeds, and equal
        prompts differ also where a server begins each prompt with its request's seed.

        Raises:
            UserError: the server cannot be reached, refuses, or answers in another form.
        """
        generator, parts = generator or self._luck, []
        for heat in dict.fromkeys(temperatures):
            size = 1 if heat else self.prompts_per_request
            rows = [i for i, t in enumerate(temperatures) if t == heat]
            for start in range(0, len(rows), size):
                parts.append((heat, rows[start : start + size]))
        seeds = torch.randint(2**31, (len(parts),), generator=generator).tolist()
        bodies = [
            self._body([prompts[i] for i in rows], max_new_tokens, heat, seed)
            for (heat, rows), seed in zip(parts, seeds, strict=True)
        ]
        found: list[Written | None] = [None] * len(prompts)
        with ThreadPoolExecutor(self.parallel) as pool:
            for (_, rows), texts in zip(parts, pool.map(self._ask, bodies), strict=True):
                if len(texts) != len(rows):
                    raise self._odd(f"{len(texts)} texts for {len(rows)} prompts")
                for i, text in zip(rows, texts, strict=True):
                    found[i] = text
        return found  # type: ignore[return-value]

    def _body(self, prompts: list[str], limit: int, heat: float, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.name, "max_tokens": limit, "temperature": heat}
        if heat:
            body["seed"] = seed
        if self.chat:
            told = [{"role": "system", "content": self.preamble}] if self.preamble else []
            body["messages"] = [*told, {"role": "user", "content": prompts[0]}]
        else:
            body |= {"prompt": [self.preamble + p for p in prompts], "logprobs": 0}
            if self.preamble:
                body["stop"] = [BETWEEN]
        return {**body, **self.extra}

    def _ask(self, body: dict[str, Any]) -> list[Written]:
        answer = self._post("/chat/completions" if self.chat else "/completions", body)
        try:
            usage = answer.get("usage") or {}
            with self._books:
                read, written = self.tokens
                read += usage.get("prompt_tokens", 0)
                self.tokens = read, written + usage.get("completion_tokens", 0)
            choices = sorted(answer["choices"], key=lambda c: c["index"])
            return [self._written(c) for c in choices]
        except (AttributeError, KeyError, TypeError) as e:
            raise self._odd(f"no {e} in {str(answer)[:200]}") from e

    def _written(self, choice: Mapping[str, Any]) -> Written:
        text = choice["message"]["content"] if self.chat else choice["text"]
        if self.preamble or self.chat:  # chat models drop blanks at the ends, and some add them
            text = "\n" + text.strip()
        if choice["finish_reason"] == "stop":
            text += EOS
        logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or []
        return Written(text, fmean(logprobs) if logprobs else None)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        said = ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(2 ** (attempt - 1))
            with self._books:
                self.requests += 1
            try:
                answer = self._client.post(self.url + path, json=body)
            except httpx.InvalidURL as e:
                raise UserError(f"{self.url} is no address: give http://HOST:PORT/v1.") from e
            except httpx.TransportError as e:
                said = f"{type(e).__name__} {e}".strip()
                continue
            if answer.is_success:
                try:
                    return answer.json()
                except ValueError as e:
                    raise self._odd(f"no JSON but {answer.text[:200]!r}") from e
            said = f"{answer.status_code} {answer.text[:300].strip()}"
            if answer.status_code not in AGAIN:
                break
        raise UserError(
            f"{self.url}{path} gave no answer ({said}). Is the server there, is {self.name!r} the "
            "name of its model, and does it need a key (OPENAI_API_KEY)?"
        )

    def _odd(self, what: str) -> UserError:
        return UserError(f"{self.url} does not answer as the OpenAI interface does: {what}.")


def worked_examples(
    transitions: Sequence[Transition],
    buffer: ReplayBuffer,
    format: Format,
    asked: str = ASKED,
) -> str:
    """A preamble that shows the format to a model that never saw it.

    Args:
        transitions: the examples, real ones with the teacher's trace; a few of each kind (a
            success, a failure, an end without reward) teach more than many of one.
        buffer: where the examples' own memories come from; never of their own trajectory.
        format: of the experience model.
        asked: what the model is told to do.

    Raises:
        UserError: no example.
    """
    if not transitions:
        raise UserError("Give at least one transition: the model learns the format from it.")
    pairs = [(t.state, t.action) for t in transitions]
    memories = buffer.retrieve(pairs, format.memories, [t.trajectory for t in transitions])
    shown = [asked] if asked else []
    for t, found in zip(transitions, memories, strict=True):
        prompt = experience_prompt(
            t.task.instruction, t.history, t.state, t.action, [m for m, _ in found], format
        )
        target = experience_target(t.reasoning, t.observation, t.reward, t.terminated, format)
        shown.append(prompt + target.removesuffix(EOS))
    return BETWEEN.join(shown) + BETWEEN
