"""What a page shows: lines of texts, links, buttons and text boxes, in two ways of writing.

A front end (text browser or real browser) makes a `Page`; both ways of
writing it are here, so that they cannot differ between front ends:

* `listing`, WebArena's accessibility tree, a line for each node:
  ``[12] link 'Total commits'``;
* `compact`, the same in fewer words, a line for each line of the page.  It is
  what agent and experience model read.

What counts: everything inside one heading, paragraph, table row, list item or
navigation is one line.  Links, buttons and text boxes are numbered 1, 2, … in
the order of the page.  A name is the text inside, or the ``aria-label``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dreamgym_nb.worlds.base import MAX_ACTION_CHARS

ROLES = ("link", "button", "textbox")
TEXT = "StaticText"

PLAIN = re.compile(r"[A-Za-z0-9 $.,!?'_-]*")  # what can be typed
# Not with parts of dots only, which a browser would take out of the address.
_URL = re.compile(r"(?:https?://[\w.:-]+)?(/(?!(?:.*/)?\.{1,2}(?:[/?]|$))[\w/?=&+.-]*)", re.ASCII)
_PATTERNS = {
    verb: re.compile(verb + rest, re.ASCII | re.DOTALL)
    for verb, rest in {
        "click": r" \[(\d{1,3})\]",
        "hover": r" \[(\d{1,3})\]",
        "type": r" \[(\d{1,3})\] \[([^\[\]]*)\](?: \[([01])\])?",
        "press": r" \[([^\[\]]+)\]",
        "scroll": r" \[(?:direction=)?(up|down)\]",
        "goto": r" \[([^\[\]]+)\]",
        "tab_focus": r" \[(\d{1,3})\]",
        "stop": r"(?: \[(.*)\])?",
        "go_back": "",
        "go_forward": "",
        "new_tab": "",
        "close_tab": "",
    }.items()
}


@dataclass(frozen=True)
class Action:
    """An action of WebArena's grammar.

    Attributes:
        verb: ``"click"``, ``"type"``, …
        id: the number of a node, or of a tab; 0 where there is none.
        text: what is typed, the key, the address, the answer.
        enter: whether Enter is pressed after typing.
    """

    verb: str
    id: int = 0
    text: str = ""
    enter: bool = False


def parse_action(action: str) -> Action | None:
    """Read ``click [12]``, ``type [7] [text] [1]``, …; None for anything else.

    As upstream, Enter is pressed after typing unless the last part is 0.
    """
    action = action.strip()
    if len(action) > MAX_ACTION_CHARS:
        return None
    verb = action.split(" ", 1)[0]
    match = _PATTERNS[verb].fullmatch(action) if verb in _PATTERNS else None
    if match is None:
        return None
    if verb in ("click", "hover", "tab_focus"):
        return Action(verb, int(match[1]))
    if verb == "type":
        return Action(verb, int(match[1]), " ".join(match[2].split()), match[3] != "0")
    groups = match.groups()
    return Action(verb, text=" ".join((groups[0] or "").split()) if groups else "")


def local_url(address: str) -> str | None:
    """Path and query of an address of the sites; None for anything else.

    The host does not matter: the sites are the whole web here.
    """
    match = _URL.fullmatch(address)
    return match[1] if match else None


@dataclass(frozen=True)
class Item:
    """A node of a page: a text, a link, a button or a text box.

    Attributes:
        role: one of `ROLES`, or `TEXT`.
        name: its text or accessible name.
        value: what a text box holds.
    """

    role: str
    name: str
    value: str = ""


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: of the document.
        lines: the items of each line; the heading first, what was said last.
        said: texts that the site says once: what was saved.
        wrong: texts that the site says once: what was refused.
    """

    title: str
    lines: tuple[tuple[Item, ...], ...]
    said: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def nodes(self) -> list[Item]:
        """Links, buttons and text boxes; node ``[n]`` is at index n - 1."""
        return [item for line in self.lines for item in line if item.role != TEXT]


def listing(page: Page, url: str, tabs: Sequence[str] = (), current: int = 0) -> str:
    """The page as WebArena's accessibility tree.

    Args:
        page: what is shown.
        url: its path and query.
        tabs: the titles of all tabs; only this page's when empty.
        current: which of them is shown.
    """
    titles = list(tabs) or [page.title]
    heads = [f"Tab {i}{' (current)' * (i == current)}: {t}" for i, t in enumerate(titles)]
    lines, number = [" | ".join(heads), f"URL: {url}"], 0
    lines += [f"{TEXT} '{text}'" for text in (*page.said, *page.wrong)]
    for item in (item for line in page.lines for item in line):
        if item.role == TEXT:
            lines.append(f"{TEXT} '{item.name}'")
            continue
        number += 1
        value = f" '{item.value}'" if item.value else ""
        lines.append(f"[{number}] {item.role} '{item.name}'{value}")
    return "\n".join(lines)


def compact(page: Page, url: str, tabs: Sequence[str] = (), current: int = 0) -> str:
    """The page in few words, without what the site says once.

    A line of the page is a line; a text after something else follows ``|``.
    """
    lines, number = [f"{page.title} at {url}"], 0
    if len(tabs) > 1:
        lines.append(f"tab {current} of {' | '.join(tabs)}")
    for line in page.lines:
        words: list[str] = []
        for item in line:
            if item.role == TEXT:
                words += ["|", item.name] if words else [item.name]
                continue
            number += 1
            value = f": {item.value}" if item.value else ""
            words.append(f"[{number}] {item.role} {item.name}{value}")
        lines.append(" ".join(words))
    return "\n".join(lines)
