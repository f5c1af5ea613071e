"""Who leaves the offline log of the web world: visitors of mixed quality.

Each reads the abstract state as a model would, and knows from the records
what is true.  Most of them do something wrong, each in a way of its own, so
that a dream built from their log can imagine failing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.sites import words
from dreamgym_nb.worlds.web_state import View, read
from dreamgym_nb.worlds.web_tasks import (
    ANSWER,
    CHANGE,
    DONE,
    VISIT,
    any_value,
    normal,
    same_page,
)
from dreamgym_nb.worlds.web_teacher import kind_of

if TYPE_CHECKING:
    from dreamgym_nb.worlds.web import Web

HOME = "goto [/]"

SHARES = {
    "expert": 0.12,
    "exploring": 0.15,
    "careless": 0.38,
    "hasty": 0.15,
    "random": 0.08,
    "invalid": 0.12,
}
"""The usual share of each behaviour in a log."""


def act(web: Web, behaviour: str, rng: np.random.Generator) -> str:
    """The next action of a behaviour in the present episode of the web world.

    expert: the shortest way by links and search, does what is wanted, stops.
    exploring: the expert, but every third action is a random one.
    careless: the expert's way, but now and then the wrong row, the wrong value
        or the wrong answer, or it stops too early; does not notice.
    hasty: careless, but half of its clicks go where it does not look.
    random: any action that works.
    invalid: the expert, but half of its actions cannot work.

    Raises:
        UserError: there is no such behaviour.
    """
    view = read(web.state)
    if behaviour == "expert":
        return _expert(web, view)
    if behaviour == "exploring":
        return _random(web, view, rng) if rng.random() < 0.34 else _expert(web, view)
    if behaviour == "careless":
        return _careless(web, view, rng)
    if behaviour == "hasty":
        return _hasty(web, view, rng)
    if behaviour == "random":
        return _random(web, view, rng)
    if behaviour == "invalid":
        return _invalid(web, view, rng) if rng.random() < 0.55 else _expert(web, view)
    raise UserError(f"The web has no behaviour {behaviour!r}; it has {list(SHARES)}.")


def expert_plan(web: Web, task: Any) -> list[str]:
    """The expert's actions for a task, by playing it on a copy of the sites.

    The world's present episode is replaced by this one; the steps are real
    and counted.
    """
    web.reset(options={"task": task})
    actions, over = [], False
    while not over:
        actions.append(_expert(web, read(web.state)))
        *_, terminated, truncated, _ = web.step(actions[-1])
        over = terminated or truncated
    return actions


# ---- the expert ------------------------------------------------------------------------


def _expert(web: Web, view: View) -> str:
    goal = web.task.goal
    if goal["kind"] == CHANGE:
        todo = _undone(web)
        if not todo:
            return f"stop [{DONE}]"
        if view.title == goal["pages"][-1]:
            return _set(web, view, todo)
    if goal["kind"] == VISIT and same_page(view.url, goal["url"]):
        return f"stop [{DONE}]"
    if goal["kind"] == ANSWER and view.title == goal["pages"][-1]:
        return f"stop [{goal['value']}]"
    return _approach(web, view)


def _undone(web: Web) -> list[tuple[str, str]]:
    plural, key = web.task.goal["record"]
    return [
        (field, value)
        for field, value in web.task.goal["changes"]
        if web.site.value(plural, key, field) != value
    ]


def _approach(web: Web, view: View) -> str:
    """One step nearer to the page that is wanted."""
    goal = web.task.goal
    links = {node.name: n for n, node in view.nodes.items() if node.role == "link"}
    *before, last = goal["pages"]
    if last.removesuffix(" page 1") in links and (not before or view.title == before[0]):
        return f"click [{links[last.removesuffix(' page 1')]}]"
    if before and before[0] in links:
        return f"click [{links[before[0]]}]"
    plural, _ = goal["record"]
    url = web.start.url(plural)
    if view.url == url or view.url.startswith(f"{url}?"):
        if "?q=" in view.url and "next" in links:
            return f"click [{links['next']}]"
        boxes = [n for n, node in view.nodes.items() if node.role == "textbox"]
        if "?q=" not in view.url and boxes:
            return f"type [{boxes[0]}] [{goal['query']}] [1]"
    for name in (plural, "home"):
        if name in links and view.url != url:
            return f"click [{links[name]}]"
    return HOME


def _set(web: Web, view: View, todo: list[tuple[str, str]]) -> str:
    """The next click or typing that brings the page's record nearer to what is wanted."""
    kind = kind_of(web.start, view.url)
    labels = {(b.field, b.value): b.label for b in kind.buttons}
    nodes = view.nodes
    for wanted in todo:
        if wanted in labels:
            name = labels[wanted]
            return f"click [{_number(nodes, 'button', name)}]"
    boxes = {b.field: b.label for b in kind.boxes}
    left = [
        (n, value)
        for field, value in todo
        if (n := _number(nodes, "textbox", boxes[field])) and nodes[n].value != value
    ]
    if not left:  # all is typed already: send it
        return f"click [{_number(nodes, 'button', 'save')}]" if len(boxes) > 1 else "press [enter]"
    number, value = left[0]
    return f"type [{number}] [{value}] [{0 if len(left) > 1 else 1}]"


def _number(nodes: dict[int, Any], role: str, name: str) -> int:
    return next((n for n, x in nodes.items() if (x.role, x.name) == (role, name)), 0)


# ---- the others ------------------------------------------------------------------------


def _careless(web: Web, view: View, rng: np.random.Generator) -> str:
    goal = web.task.goal
    if rng.random() < (0.12 if goal["kind"] == VISIT and view.back else 0.05):
        return _stop_wrong(web, view, rng)
    kind = kind_of(web.start, view.url)
    wanted = kind_of(web.start, goal["url"]) if goal["kind"] == VISIT else _last_kind(web)
    here = kind is not None and kind is wanted and _is_record(web, view)
    if here and (view.title == goal["pages"][-1] or rng.random() < 0.8):
        if goal["kind"] == CHANGE:
            return _change_something(web, view, rng)
        if goal["kind"] == VISIT and view.title != goal["pages"][-1]:
            return f"stop [{DONE}]"
        if goal["kind"] == ANSWER and (view.title != goal["pages"][-1] or rng.random() < 0.5):
            return _stop_wrong(web, view, rng)
    if view.saved and goal["kind"] == CHANGE:
        return f"stop [{DONE}]"
    rows = [n for n, node in view.nodes.items() if node.role == "link" and n > 2]
    if rows and view.url != "/" and rng.random() < 0.3:
        return f"click [{rows[int(rng.integers(len(rows)))]}]"
    return _expert(web, view)


def _last_kind(web: Web) -> Any:
    """The kind of the record on whose page the goal is reached."""
    goal = web.task.goal
    plural, _ = goal["record"]
    kind = web.start.kinds[plural]
    return web.start.kinds[kind.links[goal["via"]]] if goal["via"] else kind


def _is_record(web: Web, view: View) -> bool:
    kind = kind_of(web.start, view.url)
    return kind is not None and (kind.single or view.url.count("/") == 3)


def _change_something(web: Web, view: View, rng: np.random.Generator) -> str:
    """Set what is wanted, often to another value or only a part of it, and stop."""
    goal = web.task.goal
    done = {field for (title, field), _ in view.notes().items() if title == view.title}
    left = [(f, v) for f, v in goal["changes"] if f not in done]
    if not left or (view.saved and rng.random() < 0.35):
        return f"stop [{DONE}]"
    field, value = left[0]
    if rng.random() < 0.35:
        value = any_value(web.start, _last_kind(web).plural, field, rng)
    if rng.random() < 0.08:
        return f"stop [{DONE}]"
    return _set(web, view, [(field, value)])


def _stop_wrong(web: Web, view: View, rng: np.random.Generator) -> str:
    """Stop with what the page says, or with another word; luck is rare."""
    goal = web.task.goal
    if goal["kind"] != ANSWER:
        return f"stop [{DONE}]"
    for _ in range(20):
        if rng.random() < 0.6:
            said = [line.split(" | ")[-1] for line in view.lines[1:] if " | " in line]
            said += [node.name for node in view.nodes.values() if node.role == "link"]
        else:
            plural = _last_kind(web).plural
            keys = list(web.start.records[plural])
            said = [web.start.value(plural, words.one(rng, keys), goal["field"])]
        if view.title != goal["pages"][-1] and view.shown(goal["field"]) and rng.random() < 0.7:
            said = [view.shown(goal["field"])]
        answer = words.one(rng, said) if said else "nothing"
        if normal(answer) != normal(goal["value"]) or rng.random() < 0.02:
            return f"stop [{answer}]"
    return "stop [nothing]"


def _hasty(web: Web, view: View, rng: np.random.Generator) -> str:
    """The expert's plan done blindly: numbers of other pages, first rows, early stops."""
    if view.saved or rng.random() < 0.08:
        return _stop_wrong(web, view, rng)
    action = _expert(web, view)
    if rng.random() < 0.5:
        return action
    if action.startswith(("click", "type")):
        verb, _, rest = action.partition("]")
        number = int(rng.integers(1, 15))
        return f"{verb.split(' ')[0]} [{number}]{rest}"
    return _random(web, view, rng)


def _random(web: Web, view: View, rng: np.random.Generator) -> str:
    """Any action that works, links most of all."""
    chance = rng.random()
    if chance < 0.05:
        return _stop_wrong(web, view, rng)
    if chance < 0.11 and view.back:
        return "go_back"
    if chance < 0.15:
        plural = words.one(rng, list(web.start.kinds))
        key = words.one(rng, list(web.start.records[plural]))
        return f"goto [{web.start.url(plural, key if rng.random() < 0.5 else None)}]"
    if chance < 0.19:
        odd = ("hover [1]", "scroll [down]", "go_forward", "new_tab", "tab_focus [0]", "close_tab")
        return words.one(rng, (*odd, "press [enter]"))
    nodes = view.nodes
    if not nodes:
        return HOME
    number = 1 + int(rng.integers(len(nodes)))
    if number not in nodes or nodes[number].role != "textbox":
        return f"click [{number}]"
    return f"type [{number}] [{_some_text(web, view, nodes[number].name, rng)}] [{_enter(rng)}]"


def _enter(rng: np.random.Generator) -> int:
    return int(rng.random() < 0.75)


def _some_text(web: Web, view: View, label: str, rng: np.random.Generator) -> str:
    """Something to type into a text box: a key to search for, or a value that it takes."""
    kind = kind_of(web.start, view.url)
    if kind is None or rng.random() < 0.05:
        return words.remark(rng)
    box = next((b for b in kind.boxes if b.label == label), None)
    if box is None:
        return words.one(rng, list(web.start.records[kind.plural]))
    return any_value(web.start, kind.plural, box.field, rng)


def _invalid(web: Web, view: View, rng: np.random.Generator) -> str:
    """Something that cannot work here."""
    nodes = view.nodes
    beyond = len(nodes) + 1 + int(rng.integers(6))
    no_box = [n for n, node in nodes.items() if node.role != "textbox"]
    choices = [f"click [{beyond}]", f"click [{beyond}]", f"type [{beyond}] [red mug] [1]"]
    if no_box:
        number = no_box[int(rng.integers(len(no_box)))]
        choices += [f"type [{number}] [{web.task.goal['query']}] [1]"] * 2
    kind = kind_of(web.start, view.url)
    if kind is not None and _is_record(web, view):
        for box in kind.boxes:
            number = _number(nodes, "textbox", box.label)
            bad = words.remark(rng) if box.rule != "text" else ""
            choices += [f"type [{number}] [{bad}] [1]"] * 2
        if len(kind.boxes) > 1:
            choices.append(f"click [{_number(nodes, 'button', 'save')}]")
    choices += ["click", "go_forward", "close_tab", "tab_focus [3]", "scroll [down]", "help"]
    choices += ["goto [nowhere]", "goto [/nowhere]", "press [enter]", "hover [99]"]
    return words.one(rng, choices)
