"""What a form of the sites takes, and why it refuses the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dreamgym_nb.worlds.sites.schema import Box, Kind, Records

_MAX_TEXT = 60  # characters of a field


def refusal(
    records: Records, kind: Kind, typed: Mapping[str, str]
) -> tuple[str, list[tuple[str, str, str]]]:
    """Why a form is refused, or what it sets.

    Args:
        records: for the names that a text box takes.
        kind: of the record on whose page the form stands.
        typed: label of a text box → what was typed; empty ones are left out.

    Returns:
        The reason ("" if there is none) and (field, value, created kind) edits.
    """
    filled = [b for b in kind.boxes if typed.get(b.label)]
    if not filled:
        return "nothing was typed", []
    edits = []
    for box in filled:
        value = _valid(records, box, typed[box.label])
        if value is None:
            return f"{typed[box.label]} is no {_wanted(box)}", []
        edits.append((box.field, value, box.creates))
    return "", edits


def _valid(records: Records, box: Box, text: str) -> str | None:
    """The value that a typed text stands for; None where the box does not take it."""
    if box.rule == "text":
        return text if len(text) <= _MAX_TEXT else None
    if box.rule in records:
        return text if text in records[box.rule] else None
    number = re.fullmatch(r"\$?([0-9]{1,3})" if box.rule == "dollars" else "([0-9]{1,3})", text)
    if number is None:
        return None
    return f"{'$' if box.rule == 'dollars' else ''}{int(number[1])}"


def _wanted(box: Box) -> str:
    """What a box takes, in a word, for the sentence that refuses something else."""
    return {"dollars": "price", "number": "number", "text": "short text"}.get(box.rule, "developer")
