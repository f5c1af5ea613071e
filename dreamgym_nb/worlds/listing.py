"""How the shop writes its abstract pages, and how they are read back.

The abstract state is text, and everything that the shop's `fold` and teacher
know about a page they read from that text, here.

Options are written ``color: red blue`` where each name and value in the
catalogue is one word.  In a catalogue with others, such as WebShop's own, all
are written ``color / dark gray / blue`` (the *wide* form), so that a value
stands as it is clicked; one that could not be read back, because it holds a
slash itself or a line break, is written as a JSON string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from dreamgym_nb.worlds.shoppers import BACK, PREV

BEHIND = "\nbehind:\n"
CHOSEN = "chosen "
SLASH = " / "

_VERBATIM = re.compile(r'[^\s"/](?:[^\n/]*[^\s/])?')
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"')
_RESERVED = (BACK, "chosen", "behind:")  # what other lines of a page begin with


def clickables(head: str) -> list[str]:
    """The things that can be clicked on an abstract page (without what lies behind it)."""
    lines = head.split("\n")
    if head.startswith("results for "):
        rows = [line.split()[0].lower() for line in lines[2:-1] if "$" in line]
        return lines[-1].split(" | ") + rows
    if head.startswith("item "):
        buttons = next(line for line in lines if line.startswith(BACK))
        options = [v for _, values in _option_lines(lines) for v in values]
        return each_once(buttons.split(" | ") + options)
    return lines[-1].split(" | ") if lines[-1] in (PREV, f"{BACK} | {PREV}") else []


def read_chosen(head: str) -> dict[str, str]:
    """The options chosen so far on an abstract item page."""
    line = next((line for line in head.split("\n") if line.startswith(CHOSEN)), "")
    return _read_entries(line[len(CHOSEN) :])


def choose(state: str, observation: str) -> str:
    """The item page with one more option chosen; other pages stay as they are."""
    said = observation[len(CHOSEN) :]
    wide = said.startswith("/ ")
    name, _, value = said.partition(" ")
    head, mark, behind = state.partition(BEHIND)
    lines = head.split("\n")
    if not state.startswith("item ") or not any(line.startswith(CHOSEN) for line in lines):
        return state
    chosen = {**read_chosen(head), **(_read_entries(said) if wide else {name: value})}
    entries = [entry(n, chosen[n], wide) for n, _ in _option_lines(lines) if n in chosen]
    at = next(i for i, line in enumerate(lines) if line.startswith(CHOSEN))
    lines[at] = CHOSEN + ((" " if wide else " and ").join(entries) or "nothing")
    return "\n".join(lines) + mark + behind


def is_word(text: str) -> bool:
    """Whether a name or value of an option can be told apart in the plain form."""
    return text not in ("and", "/") and re.fullmatch(r"[^\s:]+", text) is not None


def option_line(name: str, values: Sequence[str], wide: bool) -> str:
    """One option of an item page, with what it offers."""
    if not wide:
        return f"{name}: {' '.join(values)}"
    first = _quoted(name) if name.startswith(_RESERVED) else _token(name)
    return SLASH.join([first, *map(_token, values)]) + ("" if values else SLASH)


def entry(name: str, value: str, wide: bool) -> str:
    """One chosen option, as it stands behind ``chosen``."""
    return f"/ {_token(name)} / {_token(value)}" if wide else f"{name} {value}"


def enumeration(things: Sequence[str], wide: bool) -> str:
    """Things that can be clicked, in one line of a trace."""
    return SLASH.join(map(_token, things)) if wide else " ".join(things)


def each_once(things: Sequence[str]) -> list[str]:
    """The things in their order, without those that were there before."""
    return list(dict.fromkeys(things))


def _option_lines(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options that an abstract item page offers: (name, values), in page order."""
    options = []
    for line in lines[1:]:
        if line.startswith(f"{CHOSEN}/ "):
            continue
        if SLASH in line:
            name, *values = line.split(SLASH)
            options.append((_read_token(name), [_read_token(v) for v in values if v]))
        elif ": " in line:
            name, words = line.split(":")[:2]
            options.append((name, words.split()))
    return options


def _read_entries(text: str) -> dict[str, str]:
    if text.startswith("/ "):
        tokens = [_read_token(token) for token in text[2:].split(SLASH)]
        return dict(zip(tokens[::2], tokens[1::2], strict=False))
    entries = [words.split() for words in text.split(" and ")]
    return {e[0]: " ".join(e[1:]) for e in entries if len(e) > 1}


def _token(text: str) -> str:
    """`text` itself wherever that can be read back, else quoted."""
    return text if _VERBATIM.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """A JSON string without a slash."""
    return json.dumps(text).replace("/", "\\u002f")


def _read_token(token: str) -> str:
    return json.loads(token) if _QUOTED.fullmatch(token) else token
