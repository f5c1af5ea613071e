"""The reasoning trace of the web world: what the page offers, and wanted against got."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.pages import PLAIN, Action, local_url, parse_action
from dreamgym_nb.worlds.sites.forms import refusal
from dreamgym_nb.worlds.sites.schema import Kind
from dreamgym_nb.worlds.sites.server import SiteState
from dreamgym_nb.worlds.web_state import UNKNOWN, View, read
from dreamgym_nb.worlds.web_tasks import CHANGE, VISIT, normal, same_page


def explain(site: SiteState, task: Task, state: str, action: str) -> str:
    """The trace R* of an action in an abstract state.

    Args:
        site: the sites as they are at the start; only their kinds, and the
            names that a text box takes, are looked at.
        task: its goal is weighed against what was reached.
        state: the abstract state.
        action: as it was written.
    """
    parsed, view = parse_action(action), read(state)
    if parsed is None:
        return "this is no action"
    if parsed.verb == "stop":
        return "\n".join([*_evidence(task, view), verdict(task.goal, view, parsed.text)[1]])
    if parsed.verb in ("click", "type", "hover"):
        return _at_node(site, view, parsed)
    if parsed.verb == "go_back":
        if not view.back:
            return "there is nothing behind this page"
        return f"behind this page is {'another' if view.back[0] == UNKNOWN else view.back[0]}"
    if parsed.verb == "goto":
        url = local_url(parsed.text)
        return "this is no address of these sites" if url is None else f"it opens {url}"
    if parsed.verb == "press":
        typed = [n for n in view.nodes.values() if n.value]
        enter = parsed.text.lower() == "enter"
        return "enter sends what was typed" if typed and enter else "nothing waits for that key"
    return _OTHERS[parsed.verb]


_OTHERS = {
    "scroll": "the page has no more",
    "go_forward": "it goes forward where there was a way back",
    "new_tab": "it opens another tab",
    "tab_focus": "it shows another tab where there is one",
    "close_tab": "it closes a tab where there are two",
}


def _at_node(site: SiteState, view: View, action: Action) -> str:
    """First what the page has at that number, then what it does."""
    nodes = view.nodes
    node = nodes.get(action.id)
    if node is None:
        has = f"[1] to [{len(nodes)}]" if nodes else "nothing"
        return f"there is no [{action.id}] the page has {has}"
    lines = [f"[{action.id}] is {node.role} {node.name}"]
    if action.verb == "hover":
        return lines[0]
    if action.verb == "type":
        if node.role != "textbox":
            return f"{lines[0]}\nit takes no typing"
        if not PLAIN.fullmatch(action.text):
            return f"{lines[0]}\nthat can not be typed"
        if not action.enter:
            return lines[0]
        if node.name == "search":
            return f"{lines[0]}\nit searches for {action.text or 'nothing'}"
        typed = {n.name: n.value for n in nodes.values() if n.role == "textbox"}
        return "\n".join(lines + _form(site, view, {**typed, node.name: action.text}))
    if node.role == "link":
        return "\n".join(lines + _link(view, node.name))
    if node.role == "textbox":
        return f"{lines[0]}\nit waits for typing"
    kind = kind_of(site, view.url)
    button = next((b for b in kind.buttons if b.label == node.name), None) if kind else None
    if button is not None:
        return f"{lines[0]}\nit sets {view.title} | {button.field} | {button.value}"
    typed = {n.name: n.value for n in nodes.values() if n.role == "textbox"}
    return "\n".join(lines + _form(site, view, typed))


def _link(view: View, name: str) -> list[str]:
    """Where a link leads if its text does not say so, and what was saved there."""
    place, _, page = view.title.rpartition(" page ")
    if name in ("next", "previous") and page.isdigit():
        return [f"it leads to {place} page {int(page) + (1 if name == 'next' else -1)}"]
    return [f"there was saved {note}" for note in view.saved if note.startswith(f"{name} | ")]


def _form(site: SiteState, view: View, typed: Mapping[str, str]) -> list[str]:
    """What a form does with what was typed into its text boxes."""
    kind = kind_of(site, view.url)
    if kind is None:
        return ["it does nothing"]
    wrong, edits = refusal(site.records, kind, typed)
    if wrong:
        return [wrong]
    return [f"it sets {view.title} | {field} | {value}" for field, value, _ in edits]


def kind_of(site: SiteState, url: str) -> Kind | None:
    """The kind of the record whose page has that address."""
    parts = re.fullmatch(r"/(\w+)/([\w-]+)(/[\w-]+)?", url)
    return site.kind_at(parts[1], parts[2]) if parts else None


def _evidence(task: Task, view: View) -> list[str]:
    """The task, the page and what was saved, word for word.

    A small model that first copies these judges them; one that does not
    judges what a memory was about.
    """
    saved = [f"saved {note}" for note in view.saved] or ["nothing saved"]
    return [f"asked {task.instruction}", f"here {view.title}", *saved]


def verdict(goal: Mapping[str, Any], view: View, answer: str) -> tuple[bool, str]:
    """Whether stopping in a state is a success, and why: wanted against got.

    Judged from the state alone; it agrees with `web_tasks.evaluate`, which
    judges the server, because the state keeps all that was saved.
    """
    if goal["kind"] == CHANGE:
        return _judge_changes(goal, view)
    if view.saved:
        return False, f"nothing was to be saved\nsaved {view.saved[0]} no"
    there = view.title == goal["pages"][-1]
    place = _place(goal, view)
    if goal["kind"] == VISIT:
        right = same_page(view.url, goal["url"])
        return right, f"{place} {_mark(right)}"
    right = normal(answer) == normal(goal["value"])
    shown = view.shown(goal["field"]) if there else None
    if shown is None and goal["column"] and not goal["via"]:
        shown = view.row(goal["pages"][-1])
    said = f"it says {goal['field']} {shown}" if shown else f"it does not say {goal['field']}"
    return right, f"{place} {_mark(there)}\n{said}\nanswered {answer or 'nothing'} {_mark(right)}"


def _place(goal: Mapping[str, Any], view: View) -> str:
    """The page that was wanted, as the instruction names it, and the page that is shown."""
    wanted, got = goal["pages"][-1].removesuffix(" page 1"), view.title
    if goal["via"]:
        wanted = f"{goal['via']} of {goal['pages'][0]}"
        got = f"{got} behind it {view.back[0]}" if view.back else got
    elif goal["named"]:
        wanted = f"{goal['named']} {goal['query']}"
        got = f"{goal['named']} {view.shown(goal['named']) or 'nothing'}"
    return f"wanted {wanted} got {got}"


def _judge_changes(goal: Mapping[str, Any], view: View) -> tuple[bool, str]:
    notes, title = view.notes(), goal["pages"][0]
    lines = [f"{_place(goal, view)} {_mark(view.title == title)}"] if goal["named"] else []
    name, right = "" if goal["named"] else f"{title} | ", True
    for field, value in goal["changes"]:
        got = notes.get((title, field), "nothing")
        right = right and got == value
        lines.append(f"wanted {name}{field} | {value} got {got} {_mark(got == value)}")
    return right, "\n".join(lines)


def _mark(met: bool) -> str:
    return "yes" if met else "no"


__all__ = ["explain", "kind_of", "verdict"]
