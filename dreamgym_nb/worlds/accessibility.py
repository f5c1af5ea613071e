"""What a page shows, from a browser's accessibility tree.

Chromium describes a page as the tree that a screen reader gets.  WebArena
shows agents one line for each node of it,

    [27] button 'Submit'
    [18] checkbox 'CA9b' checked: false

with the number by which an action names the element.  The numbers here are
BrowserGym's element ids (`bid`).  Left out are nodes without meaning, text
that only repeats the name of the element around it, and the boxes in which
Chromium lays out text.

`elements` does that for pages of others.  `page_of` makes of the pages of our
own sites just what the text browser makes of their HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym_nb.worlds.pages import TEXT, Item, Page

# Accessibility roles that are one line of a page (LINES in documents.py).
LINE_ROLES = frozenset("heading paragraph row LayoutTableRow listitem navigation".split())
SAID_ROLES = {"status": "said", "alert": "wrong"}
NODE_ROLES = frozenset(("link", "button", "textbox"))

# Nodes that stand for layout, not for meaning; their children are still listed.
SILENT = frozenset(
    "none generic LabelText LineBreak InlineTextBox MenuListPopup RootWebArea "
    "LayoutTable LayoutTableRow LayoutTableCell paragraph".split()
)
TYPED = frozenset(("textbox", "searchbox", "spinbutton", "combobox"))
CLICKED = frozenset(
    "link button checkbox radio option menuitem menuitemcheckbox menuitemradio tab switch "
    "combobox listbox slider treeitem".split()
)
# Their names repeat the text inside them; the names of dialogs or panels say something else.
NAMED_BY_TEXT = CLICKED | set("heading cell gridcell columnheader rowheader row".split())
# Properties in their order on a line; a False one is worth a word only where it is news.
FLAGS = ("focused", "required", "disabled", "readonly")
STATES = ("checked", "pressed", "selected", "expanded")


@dataclass(frozen=True)
class Element:
    """One node worth a line.

    Attributes:
        bid: BrowserGym's id of the element, or of the element around a text;
            None where there is none.
        role: such as ``"button"``; ``"StaticText"`` for plain text.
        name: what a screen reader would say.
        depth: how many listed nodes are above it.
        states: (name, value) pairs as they are printed.
        parent: bid of the closest listed element above.
    """

    bid: str | None
    role: str
    name: str
    depth: int
    states: tuple[tuple[str, str], ...] = ()
    parent: str | None = None

    def line(self) -> str:
        """The node as a line of the listing."""
        number = f"[{self.bid}] " if self.bid else ""
        states = "".join(f" {name}: {value}" for name, value in self.states)
        return f"{' ' * self.depth}{number}{self.role} '{self.name}'{states}"


def elements(tree: Mapping[str, Any]) -> list[Element]:
    """The nodes of an accessibility tree that are worth a line, in document order.

    Args:
        tree: what BrowserGym's ``extract_merged_axtree`` returns: ``nodes``
            as in the Chrome DevTools protocol, some with ``browsergym_id``.
    """
    nodes: Sequence[Mapping[str, Any]] = tree["nodes"]
    if not nodes:
        return []
    by_id = {node["nodeId"]: node for node in nodes}
    listed: list[Element] = []
    for element in _below(by_id, nodes[0], None, None, "", 0, set()):
        # A box and the label beside it say the same: once is enough.
        label = element.role == "StaticText" and listed and listed[-1].name == element.name
        if not (label and listed[-1].role in CLICKED):
            listed.append(element)
    return listed


def _below(
    by_id: Mapping[str, Mapping[str, Any]],
    node: Mapping[str, Any],
    around: str | None,
    parent: str | None,
    said: str,
    depth: int,
    seen: set[str],
) -> Iterator[Element]:
    """The node itself if it is worth a line, then what is below it.

    Args:
        by_id: all nodes.
        node: the node to look at.
        around: bid of the closest element, listed or not: what a text belongs to.
        parent: bid of the closest listed element.
        said: what the listed nodes above are named by: text within them is no news.
        depth: number of listed nodes above.
        seen: node ids visited, as the trees of frames may repeat some.
    """
    if node["nodeId"] in seen:
        return
    seen.add(node["nodeId"])
    role, name = node["role"]["value"], _text(node.get("name"))
    own = node.get("browsergym_id")
    around = own or around
    if not node.get("ignored") and _worth(role, name, said):
        bid = around if role == "StaticText" else own
        yield Element(bid, role, name, depth, _states(node, role), parent)
        said = f"{said} {name}" if role in NAMED_BY_TEXT else said
        depth, parent = depth + 1, own or parent
        if role in TYPED and role != "combobox":
            return  # what it holds is its value, which its line says
    for child in node.get("childIds", ()):
        if child in by_id:
            yield from _below(by_id, by_id[child], around, parent, said, depth, seen)


def _worth(role: str, name: str, said: str) -> bool:
    if role == "StaticText":
        return bool(name) and name not in said
    if role in SILENT:
        return False
    return bool(name) or role in CLICKED or role in TYPED


def _text(value: Mapping[str, Any] | None) -> str:
    """A value of the protocol as one line of text, blanks collapsed."""
    return " ".join(str((value or {}).get("value", "")).split())


def _states(node: Mapping[str, Any], role: str) -> tuple[tuple[str, str], ...]:
    found = {p["name"]: (p.get("value") or {}).get("value") for p in node.get("properties", ())}
    states = []
    if role in TYPED or role == "slider":
        states.append(("value", f"'{_text(node.get('value'))}'"))
    if role == "heading" and "level" in found:
        states.append(("level", str(found["level"])))
    states += [(s, str(found[s]).lower()) for s in STATES if found.get(s) is not None]
    states += [(f, "true") for f in FLAGS if found.get(f) is True]
    return tuple(states)


def page_of(tree: Mapping[str, Any], title: str) -> tuple[Page, list[str]]:
    """What a page shows, from its accessibility tree.

    Args:
        tree: as BrowserGym reads it, with its element ids.
        title: of the document.

    Returns:
        The page, and the element id of each of its links, buttons and text boxes.
    """
    reader = _TreeReader(tree)
    lines = [line for line in reader.lines if line != (Item(TEXT, title),)]
    return Page(title, tuple(lines), tuple(reader.said), tuple(reader.wrong)), reader.bids


class _TreeReader:
    """Collects lines and items from an accessibility tree in document order."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        nodes = tree["nodes"]
        self._by_id = {node["nodeId"]: node for node in nodes}
        self.lines: list[tuple[Item, ...]] = []
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.bids: list[str] = []
        self._read(nodes[0], [])

    def _read(self, node: Mapping[str, Any], line: list[Item]) -> None:
        role, name = node["role"]["value"], _text(node.get("name"))
        if node.get("ignored"):
            role = ""
        if role in NODE_ROLES:
            line.append(Item(role, name, _text(node.get("value")) if role == "textbox" else ""))
            self.bids.append(node["browsergym_id"])
        elif role == TEXT:
            if name:
                line.append(Item(TEXT, name))
        elif role in LINE_ROLES:
            inside: list[Item] = []
            self._read_children(node, inside)
            if inside:
                self.lines.append(tuple(inside))
        elif role in SAID_ROLES:
            inside = []
            self._read_children(node, inside)
            getattr(self, SAID_ROLES[role]).extend(item.name for item in inside)
        else:
            self._read_children(node, line)

    def _read_children(self, node: Mapping[str, Any], line: list[Item]) -> None:
        for child in self._children(node):
            self._read(child, line)

    def _children(self, node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        return (self._by_id[c] for c in node.get("childIds", ()) if c in self._by_id)


__all__ = ["CLICKED", "TYPED", "Element", "elements", "page_of"]
