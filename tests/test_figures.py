"""Figures tell their finding to everyone: alt text, numbers and source are not optional."""

import base64
import re
import struct
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dreamgym_nb.course import diagram, figures
from dreamgym_nb.errors import UserError


@pytest.fixture(autouse=True)
def closed():
    """Leave no figure open for the next test."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


def a_figure():
    fig, ax = plt.subplots(figsize=(4, 2))
    ax.plot([0, 1], [0, 1])
    return fig


class Outline(HTMLParser):
    """Collects tags, attributes and text, and fails on a tag that is closed in the wrong place."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.tags, self.images, self.words = [], [], [], []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        else:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_figure_carries_its_finding_numbers_and_source():
    html = figures.figure_html(
        a_figure(),
        title="Dreams help: 0.2 < 0.6",
        alt='A line that rises from "0" to 1',
        numbers=[{"run": "start", "success": 0.21234, "steps": 0}, {"run": "<end>", "success": 1.0,
                  "steps": np.int64(12345)}],
        source="recorded",
        detail="results/x.json, seeds 0 to 2",
    )  # fmt: skip
    page = Outline(html)
    assert page.tags[0] == "figure" and "figcaption" in page.tags
    (image,) = page.images
    assert image["alt"] == 'A line that rises from "0" to 1'
    png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (4 * figures._DPI, 2 * figures._DPI)
    assert page.words == [
        "Dreams help: 0.2 < 0.6",
        *("run", "success", "steps"),
        *("start", "0.212", "0"),
        *("<end>", "1", "12,345"),
        "Recorded run: results/x.json, seeds 0 to 2.",
    ]


def test_numbers_may_be_a_sentence_or_one_row():
    one = Outline(figures.figure_html(a_figure(), title="t", alt="a", numbers={"gap": -0.5}))
    assert one.words == ["t", "gap", "-0.5", "Computed by this notebook."]
    drawn = Outline(figures.figure_html(a_figure(), title="t", alt="a", source="diagram"))
    assert drawn.words == ["t", "A diagram, without data."]
    text = Outline(figures.figure_html(a_figure(), title="t", alt="a", numbers="From 1 to 2."))
    assert text.words == ["t", "From 1 to 2.", "Computed by this notebook."]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alt": " "}, "needs alt text"),
        ({"title": ""}, "needs a title"),
        (
            {"source": "memory"},
            "'memory' is unknown: use one of computed, recorded, paper, diagram",
        ),
        ({"source": "paper"}, "needs detail"),
        ({"numbers": []}, "numbers is empty"),
        ({"numbers": [{"a": 1}, {"b": 1}]}, "same names"),
    ],
)
def test_an_incomplete_figure_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        figures.show(a_figure(), **{"title": "t", "alt": "a", **change})


@pytest.mark.parametrize(("xs", "whole"), [((0, 1, 2), True), ((0, 0.5, 2), False)])
def test_iterations_are_counted_in_whole_numbers(xs, whole):
    fig, ax = plt.subplots(figsize=(6, 4))
    ax.plot(xs, xs)
    figures.figure_html(fig, title="a", alt="b")
    ticks = ax.get_xticks()
    assert all(ticks == ticks.round()) is whole


@pytest.mark.parametrize(
    "change",
    [
        lambda ax: ax.plot(["shop", "house", "web"], [0, 1, 2]),
        lambda ax: (ax.plot([1, 2, 4], [0, 1, 2]), ax.set(xscale="log")),
        lambda ax: (ax.plot([0, 2], [0, 1]), ax.set(xticks=[0, 0.5, 2])),
        lambda ax: ax.scatter([0.5], [1]),
    ],
)
def test_names_scales_and_chosen_ticks_stay(change):
    fig, ax = plt.subplots()
    change(ax)
    before = ax.xaxis.get_major_locator()
    figures.figure_html(fig, title="a", alt="b")
    assert ax.xaxis.get_major_locator() is before


def test_show_displays_once_and_closes(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    fig = a_figure()
    assert figures.show(fig, title="t", alt="a") is None
    assert len(shown) == 1 and shown[0].data.startswith("<figure")
    assert not plt.fignum_exists(fig.number)


def test_the_interval_is_students_t():
    mean, half = figures.mean_and_interval([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    # t(0.975, 2) = 4.3027, s = 1, n = 3
    np.testing.assert_allclose(mean, [2.0, 5.0])
    np.testing.assert_allclose(half, [4.302653 / np.sqrt(3), 0.0], rtol=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(0.4, 0.1, size=(3, 20_000))
    mean, half = figures.mean_and_interval(draws)
    assert np.mean(np.abs(mean - 0.4) <= half) == pytest.approx(0.95, abs=0.01)


def test_one_seed_has_no_interval_and_none_is_an_error():
    mean, half = figures.mean_and_interval([0.5])
    assert mean == 0.5 and np.isnan(half)
    with pytest.raises(ValueError, match="at least one seed"):
        figures.mean_and_interval([])


def test_a_curve_draws_mean_band_and_number_of_seeds():
    _, ax = plt.subplots()
    figures.curve_with_interval(ax, [0, 1], [[0.0, 0.2], [0.2, 0.4]], "dream", 0)
    figures.curve_with_interval(ax, [0, 1], [[0.1, 0.1]], "real", 1)
    dream, real = ax.lines
    np.testing.assert_allclose(dream.get_ydata(), [0.1, 0.3])
    assert [line.get_label() for line in ax.lines] == ["dream (2 seeds)", "real (1 seed)"]
    assert len(ax.collections) == 1, "a band for the two seeds, none for the one"
    for get in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(dream, get)() != getattr(real, get)(), f"lines differ in {get}"


def test_a_curve_of_the_wrong_shape_is_refused():
    _, ax = plt.subplots()
    for ys in ([0.1, 0.2], [[0.1, 0.2, 0.3]]):
        with pytest.raises(ValueError, match=r"give \(points,\) and \(seeds, points\)"):
            figures.curve_with_interval(ax, [0, 1], ys, "dream", 0)


def luminance(colour):
    """Return the relative luminance of a colour, 0 (black) to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_the_first_lines_differ_in_grey_too():
    levels = [luminance(figures.PALETTE[i]) for i in (0, 4, 6)]
    assert all(re.fullmatch(r"#[0-9A-F]{6}", colour) for colour in figures.PALETTE)
    assert len(set(figures.PALETTE)) == len(figures._DASHES) == len(figures._MARKERS) == 7
    assert min(abs(a - b) for a in levels for b in levels if a != b) > 0.1


@pytest.mark.parametrize("lit", [None, *diagram.LOOP_PARTS])
def test_the_loop_names_every_part_and_tags_only_the_lit_one(lit):
    fig = diagram.loop_diagram(lit)
    (ax,) = fig.axes
    words = [text.get_text().strip() for text in ax.texts]
    assert set(diagram.LOOP_PARTS) <= set(words)
    assert words.count("today") == (lit is not None)
    fills = [patch.get_facecolor() for patch in ax.patches if patch.get_width() > 1]
    assert len(set(fills)) == (1 if lit is None else 2)


def test_no_text_of_the_loop_leaves_its_box_or_touches_another():
    fig = diagram.loop_diagram("dream")
    renderer = fig.canvas.get_renderer()
    (ax,) = fig.axes
    texts = [t for t in ax.texts if t.get_text().strip() not in ("", "today")]
    boxes = [p.get_window_extent(renderer) for p in ax.patches if p.get_width() > 1]
    extents = {t.get_text(): t.get_window_extent(renderer) for t in texts}
    for text, extent in extents.items():
        touched = [box for box in boxes if box.overlaps(extent)]
        inside = [b for b in touched if b.x0 <= extent.x0 and extent.x1 <= b.x1]
        assert touched == inside, f"{text!r} runs over the edge of a box"
        assert fig.bbox.x0 <= extent.x0 and extent.x1 <= fig.bbox.x1, f"{text!r} is cut off"
    labels = list(extents.items())
    for i, (first, a) in enumerate(labels):
        for second, b in labels[i + 1 :]:
            assert not a.overlaps(b), f"{first!r} touches {second!r}"


def test_an_unknown_part_gets_a_sentence():
    with pytest.raises(UserError, match="no part 'buffer': light one of offline log"):
        diagram.loop_diagram("buffer")
