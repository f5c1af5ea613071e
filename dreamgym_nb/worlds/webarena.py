"""WebArena's task files: what is asked, where it starts, how it is judged.

WebArena (Zhou et al. 2023) asks 812 things of five websites that its users
host themselves.  Its task files are small and public: the 812 original tasks,
the 165 of WebArena-Lite, and the audited WebArena-Verified.  `load` reads all
three; `world` hands their tasks to BrowserGym's WebArena environments for
those who host the sites; `answer_score` and `url_score` are the two published
rules that need no page.

In the files a site's address is a placeholder such as ``__SHOPPING__``; it is
filled in from ``WA_SHOPPING`` and so on, the variables that BrowserGym reads.
"""

from __future__ import annotations

import json
import lzma
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.browser_env import register
from dreamgym_nb.worlds.browser_tasks import BrowserTasks

# Name of a set → its file upstream.
FILES = {
    "webarena": "test.raw.json",
    "lite": "test_webarena_lite.raw.json",
    "verified": "webarena-verified.json",
}
WHERE = (
    "The files are config_files/test.raw.json of github.com/web-arena-x/webarena, "
    "test_webarena_lite.raw.json of github.com/THUDM/VisualAgentBench, and "
    "webarena-verified.json of github.com/ServiceNow/webarena-verified; put them into a folder "
    "webarena inside the folder that DREAMGYM_DATA names."
)
# All seven must be set for BrowserGym, even for sites that no task needs ("todo" will do there).
ADDRESSES = ("SHOPPING", "SHOPPING_ADMIN", "REDDIT", "GITLAB", "WIKIPEDIA", "MAP", "HOMEPAGE")

_PLACEHOLDER = re.compile(r"__([A-Z]+(?:_[A-Z]+)*)__")

Judge = Callable[[str, str, str], bool]


@dataclass(frozen=True)
class WebArenaTask:
    """One task of one of the files.

    Attributes:
        id: number inside its file.
        set: ``"webarena"``, ``"lite"`` or ``"verified"``.
        original: number of the original task; differs from `id` in Lite.
        template: number of the template that it is an instance of.
        intent: what is asked, the instruction.
        intent_template: the same with ``{{holes}}``.
        values: what fills the holes.
        sites: such as ``("gitlab", "reddit")``.
        start_urls: with placeholders; several are opened as tabs.
        eval_types: ``"string_match"``, ``"url_match"``, ``"program_html"``; in
            the verified set the names of its evaluators.
        answers: for string_match: ``"exact_match"``, ``"must_include"`` or
            ``"fuzzy_match"`` → one or more references.
        why_not: of a task that cannot be done, the reason in words (upstream's ``string_note``).
        url: for url_match: the address to end at; `` |OR| `` between several.
        pages: for program_html: what must be found where, as upstream has it.
        checks: the verified set's evaluators, as upstream has them.
    """

    id: int
    set: str
    original: int
    template: int
    intent: str
    intent_template: str
    values: Mapping[str, Any]
    sites: tuple[str, ...]
    start_urls: tuple[str, ...]
    eval_types: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    why_not: str = ""
    url: str = ""
    pages: tuple[Mapping[str, Any], ...] = ()
    checks: tuple[Mapping[str, Any], ...] = ()

    @property
    def needs_judge(self) -> bool:
        """Whether the answer is judged by a language model (upstream: by OpenAI's)."""
        return "fuzzy_match" in self.answers

    @property
    def env(self) -> str:
        """The Gymnasium id of its BrowserGym environment.

        Raises:
            UserError: BrowserGym has none for the verified set.
        """
        if self.set == "verified":
            raise UserError(
                "BrowserGym has no environments for WebArena-Verified; run and judge those tasks "
                "with its own package, webarena-verified."
            )
        if self.set == "lite":
            return f"browsergym/webarenalite.{self.original}"
        return f"browsergym/webarena.{self.id}"

    def task(self) -> Task:
        """The task as every world has it."""
        goal = {"env": self.env, "seed": 0, "sites": list(self.sites), "template": self.template}
        return Task(BrowserTasks.name, f"{self.set}/{self.id:04d}", self.intent, goal)


def load(path: str | os.PathLike[str]) -> list[WebArenaTask]:
    """Read a task file, plain or ``.xz``.

    Args:
        path: one of the files, or a set's name (`FILES`) to be found below ``DREAMGYM_DATA``.

    Raises:
        UserError: there is no such file, or it is no WebArena task file.
    """
    path = _find(str(path)) if str(path) in FILES else Path(path)
    if not path.is_file():
        raise UserError(f"There is no task file at {path}. {WHERE}")
    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as f:
            raw = json.load(f)
        return [_read(task) for task in raw]
    except (lzma.LZMAError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as e:
        raise UserError(f"{path} cannot be read ({e}). Download it again. {WHERE}") from e
    except (KeyError, TypeError) as e:
        raise UserError(
            f"{path} is no WebArena task file: {type(e).__name__} {e} in one of its tasks. {WHERE}"
        ) from e


def _find(name: str) -> Path:
    folder = os.environ.get("DREAMGYM_DATA")
    if not folder:
        raise UserError(f"Set DREAMGYM_DATA to the folder with the benchmarks' files. {WHERE}")
    plain = Path(folder) / "webarena" / FILES[name]
    packed = plain.with_name(plain.name + ".xz")
    return packed if packed.is_file() else plain


def _read(raw: Mapping[str, Any]) -> WebArenaTask:
    kind = "verified" if "start_urls" in raw else "lite" if "old_task_id" in raw else "webarena"
    common = {
        "id": int(raw["task_id"]),
        "set": kind,
        "original": int(raw.get("old_task_id", raw["task_id"])),
        "template": int(raw["intent_template_id"]),
        "intent": raw["intent"],
        "intent_template": raw["intent_template"],
        "values": raw["instantiation_dict"],
        "sites": tuple(raw["sites"]),
    }
    if kind == "verified":
        return WebArenaTask(
            **common,
            start_urls=tuple(raw["start_urls"]),
            eval_types=tuple(check["evaluator"] for check in raw["eval"]),
            checks=tuple(raw["eval"]),
        )
    judged = raw["eval"]
    answers = judged["reference_answers"] or {}
    return WebArenaTask(
        **common,
        start_urls=tuple(raw["start_url"].split(" |AND| ")),
        eval_types=tuple(judged["eval_types"]),
        answers={k: (v,) if isinstance(v, str) else tuple(v) for k, v in answers.items()},
        why_not=judged.get("string_note") or "",
        url=judged["reference_url"] or "",
        pages=tuple(judged["program_html"]),
    )


# ---- the sites' addresses ---------------------------------------------------------


def addresses(needed: Iterable[str] = ADDRESSES) -> dict[str, str]:
    """Where the sites are: ``SHOPPING`` → the value of ``WA_SHOPPING``, and so on.

    Raises:
        UserError: some of `needed` are not set; names them all.
    """
    needed = list(needed)
    missing = [f"WA_{name}" for name in needed if not os.environ.get(f"WA_{name}")]
    if missing:
        raise UserError(
            f"WebArena's sites are reached by environment variables; set {', '.join(missing)} to "
            "the addresses of the sites that you host (github.com/web-arena-x/webarena, folder "
            "environment_docker, says how to host them)."
        )
    return {name: os.environ[f"WA_{name}"] for name in needed}


def resolve(text: str, where: Mapping[str, str]) -> str:
    """Fill in the placeholders, ``__SHOPPING__/x`` → ``http://host:7770/x``.

    Args:
        text: an address with placeholders.
        where: name → address, as `addresses` gives them.

    Raises:
        UserError: a placeholder has no address.
    """

    def address(match: re.Match[str]) -> str:
        if match[1] not in where:
            raise UserError(f"{match[0]} has no address: set WA_{match[1]}.")
        return where[match[1]].rstrip("/")

    return _PLACEHOLDER.sub(address, text)


def world(
    train: Sequence[WebArenaTask], test: Sequence[WebArenaTask] = (), **options: Any
) -> BrowserTasks:
    """The tasks as a world, on the sites that the environment variables name.

    A usual split: test on Lite, train on the original tasks that are not in it
    (`without`).  Login, reset and judgement are BrowserGym's.

    Args:
        train: training tasks.
        test: test tasks.
        options: of `BrowserTasks`; `max_steps` is 30, as is usual.

    Raises:
        UserError: addresses, packages or Chromium are missing, or a task that a
            language model judges is among them and no key for it is set.
    """
    addresses()
    for env in {t.env.partition(".")[0]: t.env for t in (*train, *test)}.values():
        register(env)
    judged = [t for t in (*train, *test) if t.needs_judge]
    if judged and not os.environ.get("OPENAI_API_KEY"):
        raise UserError(
            f"{len(judged)} of these tasks are judged by a language model (fuzzy_match), which "
            "upstream asks at OpenAI: set OPENAI_API_KEY, or leave out tasks with needs_judge."
        )
    tasks = {"train": [t.task() for t in train], "test": [t.task() for t in test]}
    return BrowserTasks(tasks, **{"max_steps": 30, "timeout": 180.0, **options})


def without(tasks: Iterable[WebArenaTask], others: Iterable[WebArenaTask]) -> list[WebArenaTask]:
    """The tasks whose original is not among those of `others`."""
    there = {t.original for t in others}
    return [t for t in tasks if t.original not in there]


# ---- the two rules that need no page -----------------------------------------------


def answer_score(task: WebArenaTask, answer: str, judge: Judge | None = None) -> float:
    """string_match: whether an answer holds what it must; 1.0 or 0.0.

    Case, outer blanks and one or two pairs of outer quotes do not matter.
    exact_match asks for equality, must_include for each reference somewhere in
    the answer.  A single reference of one character must stand as a word of
    its own there, or "0" would be found in "10" (upstream uses NLTK's words;
    here a word is what stands between blanks and punctuation).

    Args:
        task: with string_match among its `eval_types`.
        answer: what was given to ``stop``.
        judge: for fuzzy_match, ``judge(reference, answer, intent)``; a
            language model upstream.  For the reference "N/A" a plain N/A is
            right without it.

    Raises:
        UserError: the task is not judged by its answer, or needs a judge.
    """
    if "string_match" not in task.eval_types:
        raise UserError(f"Task {task.id} is not judged by its answer but by {task.eval_types}.")
    given = _clean(_clean(answer))
    met = []
    for rule, references in task.answers.items():
        if rule == "exact_match":
            met += [given == _clean(r) for r in references]
        elif rule == "must_include":
            alone = len(references) == 1
            met += [_included(_clean(r), given, alone) for r in references]
        elif rule == "fuzzy_match":
            met += [_fuzzy(task, r, given, judge) for r in references]
        else:
            raise UserError(f"Task {task.id} has a rule for answers that is unknown: {rule!r}.")
    return float(all(met))


def url_score(task: WebArenaTask, url: str, where: Mapping[str, str]) -> float:
    """url_match: whether one has ended at the right address; 1.0 or 0.0.

    Host and path of one of the references must be contained in those of
    `url`, and each parameter of the references' queries must have one of its
    values there.  Further parameters do not matter, nor does a last slash.

    Args:
        task: with url_match among its `eval_types`.
        url: the last address.
        where: as `addresses` gives them.

    Raises:
        UserError: the task is not judged by its address.
    """
    if "url_match" not in task.eval_types:
        raise UserError(f"Task {task.id} is not judged by its address but by {task.eval_types}.")
    place, query = _split(url)
    references = [_split(resolve(r, where)) for r in task.url.split(" |OR| ")]
    wanted: dict[str, set[str]] = {}
    for _, parameters in references:
        for name, values in parameters.items():
            wanted.setdefault(name, set()).update(values)
    there = any(reference in place for reference, _ in references)
    asked = all(values & set(query.get(name, ())) for name, values in wanted.items())
    return float(there and asked)


def _split(url: str) -> tuple[str, dict[str, list[str]]]:
    """Host with path, and the parameters, of an address."""
    parts = urlsplit(url.rstrip("/"))
    return parts.netloc + parts.path, parse_qs(parts.query)


def _clean(text: str) -> str:
    text = text.strip()
    for quote in "'\"":
        if len(text) > 1 and text[0] == text[-1] == quote:
            text = text[1:-1]
            break
    return text.lower()


def _included(reference: str, given: str, alone: bool) -> bool:
    if alone and len(reference) == 1:
        return reference in re.findall(r"\w+(?:[-.,:/']\w+)*|[^\w\s]", given)
    return reference in given


def _fuzzy(task: WebArenaTask, reference: str, given: str, judge: Judge | None) -> bool:
    if reference == "N/A" and given == "n/a":
        return True
    if not given:
        return False
    if reference == "N/A" and task.why_not:  # any other answer must give the reason
        reference = task.why_not
    if judge is None:
        raise UserError(
            f"Task {task.id} asks for an answer that means the same as {reference!r}. Only a "
            "language model can judge that: give judge=a function of (reference, answer, intent)."
        )
    return bool(judge(reference, given, task.intent))


__all__ = [
    "ADDRESSES",
    "FILES",
    "WebArenaTask",
    "addresses",
    "answer_score",
    "load",
    "resolve",
    "url_score",
    "without",
    "world",
]
