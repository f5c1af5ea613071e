"""The lessons in a real JupyterLab: every cell runs, and every widget answers to every touch.

What this proves, for each notebook of the folder at smoke size: it runs from the first cell to the
last under "Run All"; each slider moves with the mouse and with the arrow keys, each button and each
row of buttons with the mouse and the space bar, each dropdown by choice and by keys, each text box
by typing; each of these changes what the rest of the widget shows; and nothing raises on the way:
no cell, no callback (of which JupyterLab shows nothing), no script in the page. The page reaches
nothing but this machine.

What it does not prove: that what is shown is right. That is the matter of the callbacks' own tests.
"""

from pathlib import Path

import nbformat
import pytest
from lab import Lab, require_lab
from lab_touch import complaints

from dreamgym_nb.errors import UserError

FOLDER = Path(__file__).parents[1] / "notebooks"
LESSON_SECONDS = 1500  # a machine may be busy; a browser that hangs is stopped after that


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    try:
        require_lab()
    except UserError as e:
        pytest.skip(f"The lessons are not opened in JupyterLab here: {e}")
    with Lab(tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("cache")) as lab:
        yield lab


def what_is_wrong(lab, name):
    """Open a notebook that the server has, run it, touch everything."""

    def inside():
        with lab.open(name) as book:
            return complaints(book)

    return lab.inside(inside, seconds=LESSON_SECONDS)


@pytest.mark.notebook
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_lesson_and_its_widgets_work_in_jupyterlab(lab, path):
    assert what_is_wrong(lab, lab.add(path, "smoke")) == []


# ---- notebooks with something wrong in them: is it found? --------------------------------------

IMPORTS = "import ipywidgets as w\nfrom IPython.display import Javascript, display"
GOOD_SLIDER = """
def moved(change):
    page.value = f"<b>{change.new}</b>"
page, slider = w.HTML(), w.IntSlider(min=1, max=9, description="good")
slider.observe(moved, "value")
w.VBox([slider, page])
"""
GOOD_FORM = """
def pressed(_):
    page.value = f"{len(page.value)} {text.value} {choice.value}"
page, text, button = w.HTML(), w.Text(description="read"), w.Button(description="Go")
choice = w.Dropdown(options=["a", "b"], description="read, too")
button.on_click(pressed)
w.VBox([text, choice, button, page])
"""
GOOD_BACK = """
def pressed(button):
    at[0] = max(0, at[0] + (1 if button is ahead else -1))
    page.value = str(at[0])
at, page = [0], w.HTML("0")
back, ahead = w.Button(description="back"), w.Button(description="ahead")
for button in (back, ahead):
    button.on_click(pressed)
w.VBox([back, ahead, page])
"""
RAISES = GOOD_SLIDER.replace("good", "raises").replace(
    '</b>"', "</b>\"\n    raise ValueError('planted')"
)
RAISES_IN_OUTPUT = """
def moved(change):
    page.value = f"<b>{change.new}</b>"
    with out:
        raise ValueError("planted in an Output")
page, out, slider = w.HTML(), w.Output(), w.IntSlider(description="out")
slider.observe(moved, "value")
w.VBox([slider, page, out])
"""
DOES_NOTHING = GOOD_SLIDER.replace("good", "idle").replace(
    'page.value = f"<b>{change.new}</b>"', "pass"
)
NOT_READ = """
def pressed(_):
    page.value += "pressed"
page, text, button = w.HTML(), w.Text(description="not read"), w.Button(description="Go")
button.on_click(pressed)
w.VBox([text, button, page])
"""
BREAKS_THE_PAGE = GOOD_SLIDER.replace("good", "script").replace(
    "<b>{change.new}</b>", "<img src='x{change.new}' onerror='planted()'>"
)
UNKNOWN = "w.VBox([w.DatePicker(description='date')])"


def own(code):
    """The code in a function, so that each widget of a notebook has names of its own."""
    *body, last = code.strip().splitlines()
    lines = [f"    {line}" for line in (*body, f"return {last}")]
    return "\n".join(["def cell():", *lines, "cell()"])


def planted(lab, folder, name, *cells):
    """Give the server a notebook of these cells; returns what is wrong with it."""
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, folder / name)
    return what_is_wrong(lab, lab.add(folder / name))


def test_planted_faults_of_widgets_are_found(lab, tmp_path):
    cells = [GOOD_SLIDER, RAISES, DOES_NOTHING, GOOD_FORM, NOT_READ, GOOD_BACK]
    cells += [RAISES_IN_OUTPUT, BREAKS_THE_PAGE, UNKNOWN]
    found = planted(lab, tmp_path, "widgets.ipynb", IMPORTS, *map(own, cells))
    slider, out = ("mouse", "arrow keys"), "the kernel said ValueError: planted in an Output"
    expected = {
        2: ("slider “raises”", slider, "the kernel said ValueError: planted"),
        3: ("slider “idle”", slider, "it changed nothing"),
        5: ("text “not read”", ("typing",), "it changed nothing"),
        7: ("slider “out”", slider, out),
        8: ("slider “script”", slider, "exception in the page: planted is not"),
    }
    for at, (control, ways, why) in expected.items():
        said = [f for f in found if f.startswith(f"cell {at} ")]
        assert len(said) == len(ways), "that and nothing else"
        for way, sentence in zip(ways, said, strict=True):
            assert f"{control}, {way}: {why}" in sentence
    assert any(f.startswith("cell 9 ") and "lab.js does not know how to touch" in f for f in found)
    for good in (1, 4, 6):
        assert not [f for f in found if f.startswith(f"cell {good} ")]


def test_planted_faults_of_cells_and_scripts_are_found(lab, tmp_path):
    script = "Javascript(\"setTimeout(() => { throw new Error('planted') }, 0)\")"
    [found] = planted(lab, tmp_path, "script.ipynb", IMPORTS, GOOD_SLIDER, script)
    assert found == "exception in the page: planted"
    found = planted(lab, tmp_path, "cell.ipynb", IMPORTS, "w.IntSlider()\n1 / 0", GOOD_SLIDER)
    assert found == [
        "cell 1 (`w.IntSlider()`): it raised ZeroDivisionError: division by zero",
        "cell 2 (`def moved(change):`): it was not run",
    ]


def test_prices_that_became_a_formula_are_found(lab, tmp_path):
    """JupyterLab reads $30 got $ as mathematics, unless <pre> or a class forbids it."""
    prices = "wanted $30 got $45"
    fine = f"HTML('<pre>{prices}</pre><p class=\"mathjax_ignore\">{prices}</p>')"
    cells = ["from IPython.display import HTML", fine, f"HTML('<p>{prices}</p>')"]
    [found] = planted(lab, tmp_path, "prices.ipynb", *cells)
    assert found.startswith("cell 2 (`HTML(") and "becomes a formula: wanted" in found


def test_a_notebook_whose_widgets_cannot_be_touched_is_found(lab, tmp_path):
    cell = "w.IntSlider(min=1, max=1)"
    assert planted(lab, tmp_path, "none.ipynb", IMPORTS, cell) == ["there is no widget to touch"]
