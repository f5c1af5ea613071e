"""Touch every control of a notebook's widgets, and expect it to change what the widget shows.

A control (slider, button, dropdown …) is moved as a person would, with the mouse and where that is
promised with the keyboard. `complaints` says what came of it. `lab.Book` is the notebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab import Book

WAYS: dict[str, tuple[str, ...]] = {
    "slider": ("mouse", "arrow keys"),
    "button": ("mouse", "space bar"),
    "toggles": ("mouse", "space bar"),
    "checkbox": ("mouse", "space bar"),
    "radio": ("mouse",),
    "dropdown": ("choice", "keys"),
    "list": ("mouse",),  # JupyterLab keeps the arrow keys in a list: they go to the next cell
    "text": ("typing",),
}
"""Kind of control -> the ways to move it, each of which must do something."""

ACT_BY_THEMSELVES = ("slider", "button")
"""The others may be the fields of a form, which do nothing until a button is pressed."""

ODD = "no such thing 7"  # to be written into a text box


@dataclass(frozen=True)
class Control:
    """Something in a widget that can be touched.

    Attributes:
        number: In its cell, from 0.
        kind: One of `WAYS`.
        label: What stands beside or on it.
        tag: By which the page finds it.
        disabled: Whether it can not be touched now.
        options, at: How many things there are to choose from, and which is chosen (-1: none).
        low, high, now: Of a slider.
        number_box: Whether a text box takes numbers only.
    """

    number: int
    kind: str
    label: str
    tag: str
    disabled: bool
    options: int
    at: int
    low: float
    high: float
    now: float | None
    number_box: bool

    @property
    def only_one(self) -> bool:
        """Whether there is nothing else to choose, as with a slider over one step."""
        if self.kind == "slider":
            return self.low == self.high
        return self.kind in ("dropdown", "list", "toggles", "radio") and self.options < 2

    @property
    def dead(self) -> bool:
        """Whether touching it can do nothing now."""
        return self.disabled or self.only_one


def controls(book: Book, at: int) -> list[Control]:
    """What can be touched in the output of a cell, in order."""
    return [Control(**found) for found in book.page.evaluate("at => lab.controls(at)", at)]


# ---- hands -------------------------------------------------------------------------------------


def move(book: Book, at: int, number: int, way: str, option: int | None = None) -> None:
    """Touch a control as a person would, and wait for what comes of it.

    Args:
        book: The notebook.
        at: The cell.
        number: Of the control.
        way: One of its `WAYS`.
        option: What to choose, where there is a choice; the next one if None.
    """
    control = controls(book, at)[number]
    element = book.page.locator(f"[data-lab='{control.tag}']")
    element.scroll_into_view_if_needed()
    chosen = (control.at + 1) % max(control.options, 1) if option is None else option
    if control.kind == "slider":
        _slide(book.page, control, element, way)
    elif control.kind == "dropdown":
        _choose(book.page, control, element.locator("select"), way, chosen)
    elif control.kind == "text":
        box = element.locator("input, textarea").first
        box.fill(ODD if not control.number_box else "2" if box.input_value() == "1" else "1")
        box.press("Tab")
    else:
        inner = {"list": "option", "toggles": "button", "radio": "input", "checkbox": "input"}
        target = element if control.kind == "button" else element.locator(inner[control.kind])
        _press(book.page, target.nth(chosen if control.options else 0), way)
    book.settle()


def _press(page: Any, target: Any, way: str) -> None:
    if way == "space bar":
        target.focus()
        page.keyboard.press("Space")
    else:
        target.click()


def _choose(page: Any, control: Control, box: Any, way: str, chosen: int) -> None:
    """Take an option, or open the list by keys and take the one beside."""
    if way == "choice":
        # by its element: Playwright (1.44) takes the index 0 for no choice at all
        box.select_option(element=box.locator("option").nth(chosen).element_handle())
        return
    box.focus()
    for key in ("Space", "ArrowUp" if control.at == control.options - 1 else "ArrowDown", "Enter"):
        page.keyboard.press(key)


def _slide(page: Any, control: Control, element: Any, way: str) -> None:
    """Draw the handle to the other half, or press one arrow key.

    The arrow keys move a slider whose handle has the focus, which it has after Tab or a click on
    it. A click on the bar moves the handle, too, but gives the focus to the cell, and then
    JupyterLab (seen in 4.6) takes the arrows for itself: they go from cell to cell.
    """
    handle = element.locator("[role=slider]").first
    if way == "arrow keys":
        handle.focus()
        page.keyboard.press("ArrowRight" if control.now < control.high else "ArrowLeft")
        return
    share = 0.75 if control.now < (control.low + control.high) / 2 else 0.25
    track, start = element.locator(".noUi-base").bounding_box(), handle.bounding_box()
    middle = start["y"] + start["height"] / 2
    page.mouse.move(start["x"] + start["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * share, middle, steps=4)
    page.mouse.up()


# ---- what is expected --------------------------------------------------------------------------


def complaints(book: Book) -> list[str]:
    """Run a notebook, touch all of its widgets, and return what was wrong, a sentence each.

    Each control must change what the rest of the widget shows, in each of its `WAYS`: by itself; or
    after another control was touched ("Previous" can do nothing at the start); or, if it is the
    field of a form, so that a button gives something else than without it. Meanwhile nothing may
    go wrong in the kernel, in the page or in the console.
    """
    found = book.run_all() or book.troubles()
    if found:
        return found  # what comes after a cell that failed says little
    cells = book.cells_with_widgets()
    for at in cells:
        found += _complaints(book, at)
    if all(control.dead for at in cells for control in controls(book, at)):
        found.append("there is no widget to touch")
    return found


def _complaints(book: Book, at: int) -> list[str]:
    """What is wrong with the widgets of a cell."""
    where, found = book.where(at), []
    for element in book.unknown(at):
        found.append(f"{where}: lab.js does not know how to touch {element}")
    for control in controls(book, at):
        for way in WAYS[control.kind]:
            wrong = [] if _works(book, at, control.number, way) else ["it changed nothing"]
            wrong += book.troubles(at)
            found += [f"{where}, {control.kind} “{control.label}”, {way}: {w}" for w in wrong]
    return found


def _works(book: Book, at: int, number: int, way: str) -> bool:
    """Whether touching a control does something, now or after something else was touched."""
    all_of_them = controls(book, at)
    control = all_of_them[number]
    if control.only_one or (not control.disabled and _acts(book, at, number, way)):
        return True
    may_be_a_field = control.kind not in ACT_BY_THEMSELVES and not control.disabled
    if may_be_a_field and _is_read(book, at, number, way):
        return True
    book.run_cell(at)  # a list of one episode, say, is what an earlier touch may have left
    control = controls(book, at)[number]
    if not control.dead and _acts(book, at, number, way):
        return True
    always_disabled = control.disabled
    for other in all_of_them:
        if other.number == number or controls(book, at)[other.number].dead:
            continue
        move(book, at, other.number, WAYS[other.kind][0])
        if not controls(book, at)[number].dead:
            always_disabled = False
            if _acts(book, at, number, way):
                return True
    return always_disabled


def _acts(book: Book, at: int, number: int, way: str) -> bool:
    """Whether touching a control changes what the rest of the widget shows."""
    control = controls(book, at)[number]
    before = book.shown(at, control.tag)
    move(book, at, number, way)
    return book.shown(at, control.tag) != before


def _is_read(book: Book, at: int, number: int, way: str) -> bool:
    """Whether some button gives something else once this field of its form is another."""

    def answer(button: Control, option: int | None) -> str:
        book.run_cell(at)  # all is as it was at the start
        if option is not None:
            move(book, at, number, way, option)
        move(book, at, button.number, "mouse")
        return book.shown(at, controls(book, at)[number].tag)

    options = range(max(1, controls(book, at)[number].options))
    for button in [c for c in controls(book, at) if c.kind == "button" and not c.dead]:
        untouched = answer(button, None)
        if any(answer(button, option) != untouched for option in options):
            return True
    return False
