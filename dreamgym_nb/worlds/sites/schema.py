"""How a site is described: kinds of records, their fields, buttons and text boxes.

A site is a handful of `Kind` objects and the function that fills them with
records.  Pages, forms, routes and checks follow from the description
(server.py), so a new site is one short module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Fields = dict[str, str]
Records = dict[str, dict[str, Fields]]  # plural → key → field → value

NONE = "none"  # what an empty field shows
YOU = "you"  # the author of what the visitor writes


@dataclass(frozen=True)
class Button:
    """A button of a record's page: it sets one field to one value."""

    label: str
    field: str
    value: str


@dataclass(frozen=True)
class Box:
    """A text box of a record's page: what is typed becomes the value of a field.

    Attributes:
        label: its accessible name, which is also its name in the form.
        field: the field it sets.
        rule: ``"text"``, ``"dollars"``, ``"number"``, or the plural of a kind,
            one of whose keys must be typed.
        creates: plural of the kind of which a new record is made as well.
    """

    label: str
    field: str
    rule: str = "text"
    creates: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of record and its pages.

    Attributes:
        site: first part of its URLs.
        plural: the name of its list, ``"orders"``.
        title: title of a record's page, with ``{}`` for the key.
        fields: what a record's page shows, in order.
        links: field → plural of the kind that its value is a key of.
        column: the field that a list shows beside each record.
        lists: lists on a record's page: plural of the records shown → their
            field that must hold this record's key.
        buttons: what can be clicked on a record's page.
        boxes: what can be typed there; two or more share a button ``save``.
        computed: fields that follow from all records: ``f(records, key)``.
        fresh: the fields of a record that a visitor makes.
        single: there is one record only and no list.
    """

    site: str
    plural: str
    title: str
    fields: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    column: str = ""
    lists: Mapping[str, str] = field(default_factory=dict)
    buttons: tuple[Button, ...] = ()
    boxes: tuple[Box, ...] = ()
    computed: Mapping[str, Callable[[Records, str], str]] = field(default_factory=dict)
    fresh: Mapping[str, str] = field(default_factory=dict)
    single: bool = False


@dataclass(frozen=True)
class Question:
    """A template of a task of the kind find and answer: a field of a record.

    Attributes:
        plural: the kind of the record.
        field: the field asked for.
        text: the instruction, with ``{}`` for the record.
        via: a field of another record that leads to it, as
            (plural of the other record, its field); the instruction then
            names the other record.
        named: the field by which the instruction names the record instead of
            the title of its page.
    """

    plural: str
    field: str
    text: str
    via: tuple[str, str] = ("", "")
    named: str = ""


@dataclass(frozen=True)
class Visit:
    """A template of a task of the kind go to a page.

    Attributes:
        plural: the kind of the record.
        text: the instruction, with ``{}`` for the record.
        list: the plural of the list on the record's page that is wanted
            instead of the page itself.
        via, named: as in `Question`.
    """

    plural: str
    text: str
    list: str = ""
    via: tuple[str, str] = ("", "")
    named: str = ""


@dataclass(frozen=True)
class Change:
    """A template of a task of the kind change something.

    Attributes:
        plural: the kind of the record.
        text: the instruction, with ``{}`` for the record and then one for
            each entry of `wanted` that has no fixed value.
        wanted: (field, value) pairs; a value of None is drawn.
        named: as in `Question`.
    """

    plural: str
    text: str
    wanted: tuple[tuple[str, str | None], ...]
    named: str = ""


@dataclass(frozen=True)
class Site:
    """A site: its name, kinds, contents and task templates.

    Attributes:
        name: how `Web` calls it.
        prefix: first part of its URLs.
        kinds: in the order of the home page.
        fill: draws the records of all kinds.
        templates: of its tasks.
    """

    name: str
    prefix: str
    kinds: tuple[Kind, ...]
    fill: Callable[[np.random.Generator], Records]
    templates: tuple[Question | Visit | Change, ...]
