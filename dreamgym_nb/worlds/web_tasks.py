"""The tasks of the web world: templates of the sites, filled in from their records.

Three kinds of goals, as in WebArena: find something and answer, go to a page,
change something.  The check (`evaluate`) looks at what was answered, at the
address of the page, or at the records of the server; it does not know which
browser was used, or which way was taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.sites import words
from dreamgym_nb.worlds.sites.schema import NONE, Change, Question, Visit
from dreamgym_nb.worlds.sites.server import PAGE_SIZE, SiteState

ANSWER, VISIT, CHANGE = "answer", "visit", "change"
MOST = 72  # instances of a template
DONE = "done"  # what one answers where nothing was asked

Goal = dict[str, Any]
Instance = tuple[str, Goal]


def normal(text: str) -> str:
    """An answer as it is compared: lower case, no dollar signs, single blanks."""
    return " ".join(text.lower().replace("$", " ").split())


def same_page(one: str, other: str) -> bool:
    """Whether two addresses show the same page of the sites."""

    def parts(url: str) -> tuple[str, list[tuple[str, str]]]:
        split = urlsplit(url)
        query = sorted(pair for pair in parse_qsl(split.query) if pair != ("page", "1"))
        return split.path.rstrip("/"), query

    return parts(one) == parts(other)


def evaluate(goal: Mapping[str, Any], site: SiteState, url: str, answer: str) -> bool:
    """Whether an episode that stops now has reached its goal.

    Args:
        goal: of the task.
        site: the sites as they are now.
        url: address of the page that is shown.
        answer: what was given to ``stop``.

    Returns:
        find and answer: the right answer, and nothing was changed.
        go to a page: that page, and nothing was changed.
        change something: the fields have the wanted values.
    """
    if goal["kind"] == CHANGE:
        plural, key = goal["record"]
        return all(site.value(plural, key, field) == value for field, value in goal["changes"])
    if site.journal:
        return False
    if goal["kind"] == VISIT:
        return same_page(url, goal["url"])
    return normal(answer) == normal(goal["value"])


def generate_tasks(site: SiteState, seed: int) -> dict[str, list[Task]]:
    """The tasks of the sites as they are at the start of every episode.

    One instance in four goes to the test split, chosen by its text, so that
    no instruction is in both.

    Args:
        site: the sites before anyone has visited them.
        seed: fixes which instances a template with many of them gives.
    """
    tasks: dict[str, list[Task]] = {"train": [], "test": []}
    seen: set[str] = set()
    for place in site.sites:
        for number, template in enumerate(place.templates):
            rng = np.random.default_rng([seed, 4, number])
            found = list(instances(site, template, rng))
            for i in sorted(rng.permutation(len(found))[:MOST]):
                instruction, goal = found[i]
                if instruction in seen:
                    continue
                seen.add(instruction)
                split = "test" if _bucket(instruction) == 0 else "train"
                id = f"{split}/{len(tasks[split]):04d}"
                goal = {"template": template_name(template), **goal}
                tasks[split].append(Task("web", id, instruction, goal))
    return tasks


def template_name(template: Question | Visit | Change) -> str:
    """A short name of a template, unique over all sites."""
    kind = {Question: ANSWER, Visit: VISIT, Change: CHANGE}[type(template)]
    if isinstance(template, Change):
        what = " ".join(" ".join(filter(None, pair)) for pair in template.wanted)
    else:
        what = template.field if isinstance(template, Question) else template.list or "page"
        what += f" via {' '.join(template.via)}" if template.via[0] else ""
    by = f" by {template.named}" if template.named else ""
    return f"{kind} {template.plural} {what}{by}"


def _bucket(instruction: str) -> int:
    return sum(ord(c) * (i + 7) for i, c in enumerate(instruction)) % 4


def instances(
    site: SiteState, template: Question | Visit | Change, rng: np.random.Generator
) -> Iterator[Instance]:
    """All (instruction, goal) pairs of a template; of drawn values, some."""
    if isinstance(template, Change):
        yield from _changes(site, template, rng)
    else:
        yield from _readings(site, template)


def _named(site: SiteState, plural: str, key: str, by: str) -> tuple[str, Goal]:
    """How an instruction names a record, and the part of the goal that says so."""
    name = site.value(plural, key, by) if by else site.title(plural, key)
    return name, {"record": [plural, key], "query": name if by else key, "named": by}


def _readings(site: SiteState, template: Question | Visit) -> Iterator[Instance]:
    """Goals that change nothing."""
    over, link = template.via if template.via[0] else (template.plural, "")
    for first in site.records[over]:
        name, goal = _named(site, over, first, template.named)
        pages = [site.title(over, first)]
        key = site.value(over, first, link) if link else first
        if key not in site.records[template.plural]:
            continue
        if link:
            pages.append(site.title(template.plural, key))
        goal = {**goal, "via": link}
        if isinstance(template, Question):
            value = site.value(template.plural, key, template.field)
            if value != NONE:
                asked = {"field": template.field, "value": value}
                column = site.kinds[template.plural].column == template.field
                yield (
                    template.text.format(name),
                    {"kind": ANSWER, **goal, "pages": pages, **asked, "column": column},
                )
            continue
        if template.list:
            field = site.kinds[template.plural].lists[template.list]
            rows = sum(r[field] == key for r in site.records[template.list].values())
            several = " page 1" if rows > PAGE_SIZE else ""
            pages.append(f"{template.list} of {key}{several}")
        url = site.url(template.plural, key, template.list or None)
        yield template.text.format(name), {"kind": VISIT, **goal, "pages": pages, "url": url}


def _changes(site: SiteState, template: Change, rng: np.random.Generator) -> Iterator[Instance]:
    records = site.records[template.plural]
    open_values = sum(value is None for _, value in template.wanted)
    draws = max(1, MOST // len(records)) if open_values else 1
    for key in records:
        name, goal = _named(site, template.plural, key, template.named)
        pages = [site.title(template.plural, key)]
        seen = set()
        for _ in range(draws):
            changes = [
                [field, value or _other_value(site, template.plural, key, field, rng)]
                for field, value in template.wanted
            ]
            drawn = [c[1] for c, w in zip(changes, template.wanted, strict=True) if w[1] is None]
            same = any(records[key][field] == value for field, value in changes)
            if same or tuple(drawn) in seen:
                continue
            seen.add(tuple(drawn))
            yield (
                template.text.format(name, *drawn),
                {"kind": CHANGE, **goal, "via": "", "pages": pages, "changes": changes},
            )


def _other_value(
    site: SiteState, plural: str, key: str, field: str, rng: np.random.Generator
) -> str:
    """A value that a visitor could give to a field, and that it does not have."""
    present = site.records[plural][key][field]
    while (value := any_value(site, plural, field, rng)) == present:
        pass
    return value


def any_value(site: SiteState, plural: str, field: str, rng: np.random.Generator) -> str:
    """A value that a visitor could give to a field of a kind of record."""
    kind = site.kinds[plural]
    if values := [b.value for b in kind.buttons if b.field == field]:
        return words.one(rng, values)
    box = next(b for b in kind.boxes if b.field == field)
    if box.rule == "dollars":
        return f"${5 * int(rng.integers(1, 20))}"
    if box.rule == "number":
        return str(int(rng.integers(0, 60)))
    if box.rule in site.records:
        return words.one(rng, list(site.records[box.rule]))
    if box.creates == "posts":
        return f"{words.one(rng, words.POST_STYLES)} {words.one(rng, words.POST_THINGS)}"
    if box.creates:
        return f"{words.one(rng, words.FAULTS)} {words.one(rng, words.PARTS)}"
    return words.remark(rng)
