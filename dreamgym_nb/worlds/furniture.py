"""What the rooms of our own households hold, and where: the tables behind `households`.

The words are ALFWorld's.  The weights are ours, chosen by hand so that homes look like homes;
the same kinds of thing and receptacle appear in each other's company in ALFWorld's rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dreamgym_nb.worlds.alfred import TASK_TYPES

_PUT, _LOOK, _CLEAN, _HEAT, _COOL, _TWO = TASK_TYPES
LAMP = "desklamp"
LAMPS = frozenset({LAMP, "floorlamp"})  # what can be turned on
# What lies in places and cannot be taken; of these our own households have the desklamp only.
STAYS = LAMPS | {"houseplant", "sink", "television", "window", "mirror", "curtains"}
STAYS |= {"showerglass", "bathtub"}
OPENABLE = frozenset({"cabinet", "drawer", "fridge", "microwave", "safe"})


@dataclass(frozen=True)
class Room:
    """A kind of room: its core, further receptacles as (weight, most), things and tasks."""

    core: tuple[str, ...]
    more: Mapping[str, tuple[int, int]]
    things: Mapping[str, int]
    types: tuple[str, ...]


def _numbers(text: str) -> dict[str, int]:
    """``"apple 4 egg 4"`` as a dict."""
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _weights(text: str) -> dict[str, tuple[int, int]]:
    """``"cabinet 6x9"``: weight 6, at most 9 of them."""
    pairs = zip(*[iter(text.split())] * 2, strict=True)
    return {kind: tuple(map(int, n.split("x"))) for kind, n in pairs}


ROOMS = {
    "kitchen": Room(
        ("fridge", "microwave", "sinkbasin", "countertop"),
        _weights(
            "cabinet 6x9 drawer 4x6 countertop 2x3 diningtable 2x2 garbagecan 2x1 shelf 1x3"
            " stoveburner 2x4 coffeemachine 1x1 toaster 1x1 sidetable 1x1"
        ),
        _numbers(
            "apple 4 egg 4 tomato 4 potato 4 lettuce 3 bread 3 mug 4 cup 4 bowl 3 plate 3 pan 2"
            " pot 2 kettle 1 knife 2 butterknife 2 fork 2 spoon 2 spatula 2 ladle 1 dishsponge 2"
            " soapbottle 2 saltshaker 2 peppershaker 2 winebottle 1 vase 1"
        ),
        (_PUT, _CLEAN, _HEAT, _COOL, _TWO),
    ),
    "bedroom": Room(
        ("bed", "desk", "drawer", "sidetable"),
        _weights(
            "drawer 5x8 shelf 3x6 dresser 2x2 garbagecan 2x1 sidetable 1x2 cabinet 1x4 safe 1x1"
            " armchair 1x2 laundryhamper 1x1 diningtable 1x1"
        ),
        _numbers(
            "book 4 pen 4 pencil 4 cd 4 cellphone 4 keychain 4 creditcard 4 alarmclock 3 laptop 3"
            " mug 2 bowl 2 pillow 3 teddybear 1 tissuebox 1 statue 1 watch 1 box 1 vase 1"
        ),
        (_PUT, _LOOK, _TWO),
    ),
    "livingroom": Room(
        ("sofa", "coffeetable", "sidetable", "drawer"),
        _weights(
            "drawer 4x7 shelf 2x5 armchair 2x2 cabinet 2x4 diningtable 1x1 dresser 1x1"
            " garbagecan 2x1 tvstand 1x1 ottoman 1x1 sidetable 1x3"
        ),
        _numbers(
            "remotecontrol 4 keychain 4 creditcard 4 statue 3 laptop 3 newspaper 3 vase 3 box 2"
            " pillow 3 watch 3 book 2 tissuebox 2 cellphone 2 pen 2 pencil 2 candle 1 plate 1"
            " wateringcan 1"
        ),
        (_PUT, _LOOK, _TWO),
    ),
    "bathroom": Room(
        ("sinkbasin", "toilet", "countertop", "cabinet"),
        _weights(
            "cabinet 4x6 drawer 4x6 towelholder 2x2 handtowelholder 2x2 toiletpaperhanger 2x1"
            " garbagecan 2x1 bathtubbasin 1x1 shelf 2x3 sinkbasin 1x2 cart 1x1 sidetable 1x1"
        ),
        _numbers(
            "soapbar 4 cloth 4 soapbottle 4 spraybottle 4 toiletpaper 4 candle 3 towel 2"
            " handtowel 2 dishsponge 2 tissuebox 1 papertowelroll 1"
        ),
        (_PUT, _CLEAN, _TWO),
    ),
}

LIES = {
    kind: _numbers(text)
    for kind, text in {
        "apple": "fridge 5 countertop 4 diningtable 3 sinkbasin 1 garbagecan 1 microwave 1",
        "egg": "fridge 8 countertop 2 diningtable 1 sinkbasin 1 garbagecan 1 microwave 1",
        "tomato": "fridge 6 countertop 3 diningtable 2 sinkbasin 1 garbagecan 1 microwave 1",
        "potato": "countertop 4 fridge 3 sinkbasin 2 diningtable 2 microwave 2 garbagecan 1",
        "lettuce": "fridge 7 countertop 3 diningtable 2 sinkbasin 1 garbagecan 1",
        "bread": "countertop 6 diningtable 3 fridge 2 garbagecan 1 microwave 1",
        "mug": "coffeemachine 5 cabinet 4 countertop 3 sinkbasin 2 shelf 2 desk 4 microwave 1"
        " fridge 1 sidetable 2 dresser 1 diningtable 1",
        "cup": "cabinet 6 countertop 3 sinkbasin 2 shelf 2 diningtable 2 fridge 1 microwave 1",
        "bowl": "cabinet 6 countertop 2 shelf 2 diningtable 2 fridge 2 sinkbasin 1 desk 3"
        " dresser 1 sidetable 1",
        "plate": "cabinet 7 countertop 3 diningtable 3 shelf 1 sinkbasin 1 coffeetable 2"
        " sidetable 1 microwave 1 fridge 1",
        "pan": "stoveburner 7 countertop 3 cabinet 2 sinkbasin 1 fridge 1 diningtable 1",
        "pot": "stoveburner 7 countertop 2 cabinet 2 sinkbasin 1 fridge 1 diningtable 1",
        "kettle": "stoveburner 5 countertop 3 cabinet 2 sinkbasin 1",
        "knife": "drawer 5 countertop 4 diningtable 2 sinkbasin 1",
        "butterknife": "drawer 5 countertop 3 diningtable 3 sinkbasin 1",
        "fork": "drawer 6 countertop 2 diningtable 2 sinkbasin 2",
        "spoon": "drawer 6 countertop 2 diningtable 2 sinkbasin 2",
        "spatula": "drawer 5 countertop 3 diningtable 1 sinkbasin 1",
        "ladle": "drawer 4 cabinet 2 countertop 3 sinkbasin 1",
        "dishsponge": "sinkbasin 5 countertop 2 cabinet 2 drawer 1 garbagecan 1 bathtubbasin 2"
        " cart 1",
        "soapbottle": "cabinet 4 countertop 3 toilet 2 garbagecan 1 shelf 1 sinkbasin 1 cart 1",
        "saltshaker": "cabinet 4 drawer 2 countertop 2 diningtable 2 shelf 1 sidetable 1",
        "peppershaker": "cabinet 4 drawer 2 countertop 2 diningtable 2 shelf 1 sidetable 1",
        "winebottle": "cabinet 4 fridge 3 countertop 3 diningtable 2 garbagecan 1 shelf 1",
        "vase": "shelf 5 countertop 1 diningtable 2 coffeetable 2 dresser 2 sidetable 2 desk 1"
        " cabinet 1 tvstand 1",
        "book": "bed 5 desk 3 shelf 3 drawer 2 sofa 2 coffeetable 3 sidetable 1 dresser 1"
        " armchair 1 cabinet 1 diningtable 1",
        "pen": "drawer 5 desk 5 shelf 1 sidetable 1 coffeetable 2 dresser 1 garbagecan 1"
        " diningtable 1 tvstand 1",
        "pencil": "drawer 5 desk 5 shelf 1 sidetable 1 coffeetable 2 dresser 1 garbagecan 1"
        " diningtable 1 tvstand 1",
        "cd": "drawer 5 desk 3 shelf 3 dresser 2 sidetable 1 garbagecan 1 safe 1 cabinet 1",
        "cellphone": "bed 5 drawer 2 desk 3 sidetable 3 sofa 3 dresser 2 coffeetable 2 armchair 1"
        " ottoman 1 safe 1",
        "keychain": "drawer 4 sidetable 3 dresser 2 desk 2 safe 3 sofa 2 coffeetable 2 shelf 1"
        " armchair 1 tvstand 1 ottoman 1",
        "creditcard": "drawer 4 safe 4 desk 2 shelf 1 sidetable 2 dresser 2 sofa 3 armchair 2"
        " coffeetable 2 tvstand 1 diningtable 1",
        "alarmclock": "sidetable 5 desk 4 shelf 3 dresser 3 diningtable 1",
        "laptop": "bed 5 desk 5 sofa 4 coffeetable 3 armchair 1 diningtable 2 ottoman 1 dresser 1",
        "pillow": "bed 9 sofa 7 armchair 3 ottoman 1",
        "teddybear": "bed 9 sofa 3 armchair 2 laundryhamper 1",
        "tissuebox": "desk 3 drawer 2 sidetable 3 coffeetable 3 shelf 2 countertop 3 toilet 2"
        " diningtable 1 cabinet 1 cart 1 tvstand 1",
        "statue": "shelf 5 dresser 3 desk 2 coffeetable 3 sidetable 2 tvstand 2 diningtable 1"
        " safe 1",
        "watch": "drawer 5 safe 3 sidetable 2 shelf 1 dresser 2 desk 1 coffeetable 3 tvstand 1"
        " diningtable 1",
        "box": "desk 4 shelf 3 sofa 3 coffeetable 3 diningtable 2 cabinet 2 sidetable 1 dresser 1"
        " armchair 1 ottoman 1",
        "remotecontrol": "sofa 5 coffeetable 4 tvstand 4 armchair 2 drawer 2 sidetable 2"
        " ottoman 1 dresser 1 diningtable 1",
        "newspaper": "coffeetable 4 sofa 4 armchair 2 diningtable 2 sidetable 1 drawer 1"
        " garbagecan 1 ottoman 1 shelf 1",
        "wateringcan": "shelf 4 coffeetable 3 sidetable 2",
        "candle": "toilet 3 countertop 3 cabinet 2 drawer 2 shelf 2 coffeetable 3 sidetable 3"
        " bathtubbasin 1 cart 1 diningtable 1",
        "soapbar": "sinkbasin 4 bathtubbasin 3 countertop 3 cabinet 2 drawer 1 toilet 1"
        " garbagecan 1 shelf 1 cart 1",
        "cloth": "bathtubbasin 4 cabinet 4 drawer 3 sinkbasin 2 countertop 1 shelf 1 cart 1",
        "spraybottle": "cabinet 4 toilet 3 countertop 3 garbagecan 1 shelf 1 cart 1 drawer 1",
        "toiletpaper": "toiletpaperhanger 6 cabinet 4 toilet 3 drawer 2 countertop 1 shelf 1"
        " garbagecan 1 cart 1",
        "towel": "towelholder 9 bathtubbasin 1 countertop 1",
        "handtowel": "handtowelholder 9 sinkbasin 1 countertop 1",
        "papertowelroll": "toilet 2 countertop 3 cabinet 2 garbagecan 1 shelf 1 drawer 1",
        LAMP: "desk 4 sidetable 3 dresser 2 coffeetable 1",
    }.items()
}
"""Where a kind of thing lies, by weight."""

FITS = frozenset((r, kind) for kind, lies in LIES.items() if kind != LAMP for r in lies)
"""Which kinds of receptacle take which kinds of thing; nothing else fits."""

# What can be done with a kind of thing beside picking it up, as in ALFWorld.
_ABLE = {
    "cleanable": "apple egg tomato potato lettuce mug cup bowl plate pan pot kettle knife fork"
    " butterknife spoon spatula ladle dishsponge cloth soapbar",
    "heatable": "apple egg tomato potato bread mug cup plate",
    "coolable": "apple egg tomato potato lettuce bread mug cup bowl plate pan pot winebottle",
    "sliceable": "apple egg tomato potato lettuce bread",
    "isreceptacleobject": "mug cup bowl plate pan pot box",
}
CAN = {
    kind: frozenset(
        {"pickupable"} | {able for able, kinds in _ABLE.items() if kind in kinds.split()}
    )
    for kind in LIES
} | {LAMP: frozenset({"toggleable"})}
