"""WebArena's action grammar, and what its actions are called in BrowserGym.

click [13]          click('13')
type [7] [ann] [1]  fill('7', 'ann')  press('7', 'Enter')
stop [42]           send_msg_to_user('42')
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dreamgym_nb.worlds.accessibility import Element
from dreamgym_nb.worlds.base import MAX_ACTION_CHARS

SCROLL = 500  # pixels of one scroll

GRAMMAR = (
    "an action is click [id], type [id] [text] [0 or 1], select [id] [option], hover [id], "
    "press [keys], scroll [up or down], goto [url], go_back, go_forward, new_tab, "
    "tab_focus [number], close_tab or stop [answer]"
)

_FORMS: dict[str, re.Pattern[str]] = {
    verb: re.compile(form, re.DOTALL | re.IGNORECASE)
    for verb, form in {
        "click": r"click ?\[([^\]]+)\]",
        "hover": r"hover ?\[([^\]]+)\]",
        # The text may hold brackets, so the last pair that fits ends it.
        "type": r"type ?\[([^\]]+)\] ?\[(.*?)\](?: ?\[([01])\])?",
        "select": r"select ?\[([^\]]+)\] ?\[(.*)\]",
        "press": r"press ?\[(.+)\]",
        "scroll": r"scroll ?\[?(up|down)\]?",
        "goto": r"goto ?\[(.+)\]",
        "tab_focus": r"tab_focus ?\[(\d+)\]",
        "stop": r"stop(?: ?\[(.*)\])?",
        "go_back": "go_back",
        "go_forward": "go_forward",
        "new_tab": "new_tab",
        "close_tab": "close_tab",
    }.items()
}
_KEYS = {
    "ctrl": "Control",
    "control": "Control",
    "cmd": "Meta",
    "meta": "Meta",
    "alt": "Alt",
    "shift": "Shift",
    "enter": "Enter",
    "esc": "Escape",
    "escape": "Escape",
    "tab": "Tab",
    "space": "Space",
    "delete": "Delete",
    "backspace": "Backspace",
    "arrowup": "ArrowUp",
    "arrowdown": "ArrowDown",
    "arrowleft": "ArrowLeft",
    "arrowright": "ArrowRight",
    "pageup": "PageUp",
    "pagedown": "PageDown",
    "home": "Home",
    "end": "End",
}


class Refused(Exception):
    """An action that cannot be done; its text goes behind "nothing happens:"."""


def parse_action(action: str) -> tuple[str, tuple[str, ...]] | None:
    """Split an action of WebArena's grammar into verb and arguments; None for anything else.

    Where ``type`` does not say whether Enter is pressed, it is, as upstream.
    """
    if len(action) > MAX_ACTION_CHARS:
        return None
    for verb, form in _FORMS.items():
        match = form.fullmatch(action.strip())
        if match is None:
            continue
        arguments = tuple(group if group is not None else "" for group in match.groups())
        if verb == "type" and not arguments[2]:
            arguments = (*arguments[:2], "1")
        return verb, arguments
    return None


def translate(action: str, listed: Sequence[Element]) -> str:
    """A WebArena action in BrowserGym's words, such as ``click('13')``.

    Args:
        action: the action.
        listed: the elements of the present page.

    Raises:
        Refused: it is no action, or names an element that is not listed.
    """
    parsed = parse_action(action)
    if parsed is None:
        raise Refused(GRAMMAR)
    verb, arguments = parsed
    if verb in ("click", "hover", "type", "select"):
        element = _named(arguments[0], listed)
        return _on_element(verb, element, arguments[1:], listed)
    if verb == "press":
        return f"keyboard_press({_keys(arguments[0])!r})"
    if verb == "scroll":
        return f"scroll(0, {SCROLL if arguments[0].lower() == 'down' else -SCROLL})"
    if verb == "goto":
        url = arguments[0].strip()
        if not re.match(r"https?://", url):
            raise Refused("goto takes an address that begins with http:// or https://")
        return f"goto({url!r})"
    if verb == "tab_focus":
        return f"tab_focus({int(arguments[0])})"
    if verb == "stop":
        return f"send_msg_to_user({arguments[0]!r})"
    return {"close_tab": "tab_close()"}.get(verb, f"{verb}()")


def _named(bid: str, listed: Sequence[Element]) -> Element:
    found = [e for e in listed if e.bid == bid.strip()]
    if not found:
        raise Refused(f"there is no [{bid.strip()}] on this page")
    return found[0]


def _on_element(
    verb: str, element: Element, rest: tuple[str, ...], listed: Sequence[Element]
) -> str:
    if verb == "click" and element.role == "option":
        owner = next((e for e in listed if e.bid == element.parent), None)
        if owner is not None and owner.role in ("combobox", "listbox"):
            # The options of a closed list are not on the screen: no mouse can click them.
            return f"select_option({owner.bid!r}, {element.name!r})"
    if verb in ("click", "hover"):
        return f"{verb}({element.bid!r})"
    if verb == "select":
        return f"select_option({element.bid!r}, {rest[0].strip()!r})"
    text, enter_key = rest
    fill = f"fill({element.bid!r}, {text!r})"
    return f"{fill}\npress({element.bid!r}, 'Enter')" if enter_key == "1" else fill


def _keys(combination: str) -> str:
    parts = re.split(r"\s*\+\s*", combination.strip())
    return "+".join(_KEYS.get(part.lower(), part) for part in parts)


__all__ = ["GRAMMAR", "Refused", "parse_action", "translate"]
