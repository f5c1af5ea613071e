"""The abstract state of the web world: the page, what lies behind it, what was saved.

A state is the page in few words (pages.py), then a line with the pages that
``go_back`` leads to, then what the sites said was saved in this episode.
`fold` makes it from observations: a page replaces the page; one line, such as
``typed red mug in [2]`` or ``saved: order 17 | status | paid``, edits it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dreamgym_nb.worlds.base import FAILURE
from dreamgym_nb.worlds.pages import parse_action
from dreamgym_nb.worlds.sites.server import SAVED

BACK = "back: "
BEHIND = " < "
UNKNOWN = "more"  # pages that the state does not name
REFUSED = f"{FAILURE} refused, "
STOPPED = "stopped: "
TYPED = re.compile(r"typed (.*) in \[(\d{1,3})\]")
EMPTIED = re.compile(r"emptied \[(\d{1,3})\]")
QUIET = ("typing goes to ", "pointing at ")
EMPTY_TAB = "new tab at about:blank"
TRAIL = 2  # pages behind this one that the state names

_NODE = re.compile(r"\[(\d{1,3})\] (link|button|textbox) ([^\[|\n]*)")


@dataclass
class Node:
    """A link, button or text box in a state."""

    role: str
    name: str
    value: str = ""


@dataclass
class View:
    """An abstract state, taken apart.

    Attributes:
        title: of the page.
        url: its path and query.
        lines: the page's lines, the first with title and url.
        back: titles of the pages behind this one, nearest first.
        saved: what was saved, without the mark: ``order 17 | status | paid``.
    """

    lines: list[str]
    back: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The title of the page."""
        return self.lines[0].rpartition(" at ")[0] or self.lines[0]

    @property
    def url(self) -> str:
        """Path and query of the page."""
        return self.lines[0].rpartition(" at ")[2]

    @property
    def nodes(self) -> dict[int, Node]:
        """The numbered nodes of the page."""
        found = {}
        for line in self.lines:
            for number, role, rest in _NODE.findall(line):
                name, _, value = rest.strip().partition(": ")
                found[int(number)] = Node(role, name, value)
        return found

    def shown(self, field: str) -> str | None:
        """What the page says of a field; None where it does not show it."""
        for line in self.lines[1:]:
            if line.startswith(f"{field} | "):
                return line[len(field) + 3 :]
            if line.startswith(f"{field} ["):
                found = _NODE.search(line)
                return found[3].strip() if found else None
        return None

    def row(self, name: str) -> str | None:
        """What a list says beside the link of that name."""
        for line in self.lines[1:]:
            link, mark, text = line.partition(" | ")
            found = _NODE.fullmatch(link)
            if mark and found and found[2] == "link" and found[3].strip() == name:
                return text
        return None

    def notes(self) -> dict[tuple[str, str], str]:
        """What was saved last: (title of the page, field) → value."""
        parts = [note.split(" | ") for note in self.saved]
        return {(p[0], p[1]): p[2] for p in parts if len(p) == 3}

    def text(self) -> str:
        """The state as text."""
        back = [BACK + BEHIND.join(self.back)] if self.back else []
        return "\n".join([*self.lines, *back, *(SAVED + note for note in self.saved)])


def read(state: str) -> View:
    """Take a state, or the page of an observation, apart."""
    view = View([])
    for line in state.split("\n"):
        if line.startswith(SAVED) and view.lines:
            view.saved.append(line[len(SAVED) :])
        elif line.startswith(BACK) and view.lines:
            view.back = line[len(BACK) :].split(BEHIND)
        else:
            view.lines.append(line)
    return view


def fold(state: str, action: str, observation: str) -> str:
    """The abstract state after `action` in `state` was answered by `observation`.

    Pure, and defined for any text that a dream may write.
    """
    if not state or observation.startswith(STOPPED):
        return observation
    if observation.startswith(REFUSED):
        parsed = parse_action(action)
        if parsed and parsed.verb == "type":  # a refused form keeps what was typed
            return _with_value(state, parsed.id, parsed.text)
        return state
    if observation.startswith((FAILURE, *QUIET)):
        return state
    if typed := TYPED.fullmatch(observation):
        return _with_value(state, int(typed[2]), typed[1])
    if emptied := EMPTIED.fullmatch(observation):
        return _with_value(state, int(emptied[1]), "")
    if observation.startswith(SAVED):
        return _saved(state, observation)
    return _turned(read(state), action, read(observation))


def _with_value(state: str, number: int, value: str) -> str:
    """The state with something typed into a text box."""

    def write(match: re.Match[str]) -> str:
        if int(match[1]) != number or match[2] != "textbox":
            return match[0]
        name = match[3].strip().partition(": ")[0]
        space = " " if match[3].endswith(" ") else ""
        return f"[{number}] textbox {name}{f': {value}' if value else ''}{space}"

    return _NODE.sub(write, state)


def _saved(state: str, observation: str) -> str:
    """The state after something was saved: fields are new, text boxes empty."""
    view = read(state)
    for number, node in view.nodes.items():
        if node.role == "textbox" and node.value:
            view.lines = _with_value("\n".join(view.lines), number, "").split("\n")
    for line in observation.split("\n"):
        note = line.removeprefix(SAVED)
        entity, _, rest = note.partition(" | ")
        name, _, value = rest.partition(" | ")
        if entity == view.title:
            view.lines[1:] = [
                f"{name} | {value}" if old.startswith(f"{name} | ") else old
                for old in view.lines[1:]
            ]
        _note(view, note)
    return view.text()


def _note(view: View, note: str) -> None:
    """Remember what was saved; it takes the place of what it replaces."""
    key = note.rpartition(" | ")[0]
    for i, old in enumerate(view.saved):
        if old.rpartition(" | ")[0] == key:
            view.saved[i] = note
            return
    view.saved.append(note)


def _turned(before: View, action: str, page: View) -> str:
    """The state after another page was shown."""
    new = View(page.lines, saved=before.saved)
    for note in page.saved:
        _note(new, note)
    verb = action.strip().split(" ")[0]
    if verb == "new_tab":
        new.back = []
    elif verb in ("tab_focus", "close_tab"):
        new.back = [UNKNOWN]
    elif verb == "go_back":
        new.back = [UNKNOWN] if before.back == [UNKNOWN] else before.back[1:]
    elif page.lines[0] == before.lines[0]:
        new.back = before.back
    elif before.lines[0] == EMPTY_TAB:
        new.back = []
    else:
        named = [before.title, *(title for title in before.back if title != UNKNOWN)]
        more = len(named) > TRAIL or UNKNOWN in before.back
        new.back = named[:TRAIL] + [UNKNOWN] * more
    return new.text()
