"""The course uses only what ipywidgets 7.7 (Colab), 7.8 and 8 share.

The table below is data: the arguments that a widget has in 7.7.1, in 7.8.5 and in 8.1.9, of the
widgets that lessons may use. It was read from those three by `class_trait_names`; the first test
reads it again from the one that is installed. To add a widget, install the other two in virtual
environments of their own and run this file's first test there: it needs only ipywidgets and pytest.
"""

import ast
import json
import re
from pathlib import Path

import ipywidgets
import pytest

ROOT = Path(__file__).parents[1]

BOX = "children box_style layout"
DESCRIBED = "description disabled layout style value"
SLIDER = f"{DESCRIBED} min max step continuous_update orientation readout readout_format"
CHOICE = f"{DESCRIBED} options index label"
SHARED = {
    "Accordion": f"{BOX} selected_index",
    "BoundedIntText": f"{DESCRIBED} min max step continuous_update",
    "Box": BOX,
    "Button": "description tooltip disabled icon button_style layout style",
    "Checkbox": f"{DESCRIBED} indent",
    "Dropdown": CHOICE,
    "FloatLogSlider": f"{SLIDER} base",
    "FloatSlider": SLIDER,
    "HBox": BOX,
    "HTML": "value placeholder description layout style",
    "IntRangeSlider": SLIDER,
    "IntSlider": SLIDER,
    "IntText": f"{DESCRIBED} step continuous_update",
    "Layout": "width height min_width max_width min_height max_height margin padding border"
    " overflow display visibility flex flex_flow align_content align_items align_self order"
    " justify_content justify_items top right bottom left object_fit object_position grid_area"
    " grid_auto_columns grid_auto_flow grid_auto_rows grid_column grid_gap grid_row"
    " grid_template_areas grid_template_columns grid_template_rows",
    "Output": "outputs layout",
    "Play": f"{DESCRIBED} min max step interval show_repeat",
    "RadioButtons": CHOICE,
    "Select": f"{CHOICE} rows",
    "SelectionSlider": f"{CHOICE} continuous_update orientation readout",
    "Tab": f"{BOX} selected_index",
    "Text": f"{DESCRIBED} placeholder continuous_update",
    "Textarea": f"{DESCRIBED} placeholder rows continuous_update",
    "ToggleButton": f"{DESCRIBED} tooltip icon button_style",
    "ToggleButtons": f"{CHOICE} tooltips icons button_style",
    "VBox": BOX,
}
FUNCTIONS = {"Widget", "fixed", "interact", "interact_manual", "interactive", "interactive_output"}
ONLY_IN_8 = {"allow_html", "behavior", "description_allow_html", "playing", "tabbable", "titles"}
ONLY_IN_8 |= {f"border_{side}" for side in ("top", "right", "bottom", "left")}
ONLY_IN_7 = {"description_tooltip", "on_displayed", "overflow_x", "overflow_y"}


def complaints(source):
    """What a piece of code uses of ipywidgets that is not in all versions, a sentence each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module="ipywidgets") | ast.alias(name="ipywidgets", asname=str()):
                found.append("import ipywidgets as a whole and by its name, for this test")
            case ast.Attribute(value=ast.Name(id="ipywidgets"), attr=name):
                if name not in {*SHARED, *FUNCTIONS}:
                    found.append(f"{name} is not in the table")
            case ast.Attribute(attr=name, ctx=ast.Store()) if name in ONLY_IN_8 | ONLY_IN_7:
                found.append(f".{name} is not in all versions")
            case ast.Call(ast.Attribute(ast.Name("ipywidgets"), name)) if name in SHARED:
                given = {k.arg for k in node.keywords if k.arg}
                found += [f"{name}({a}=…)" for a in sorted(given - set(SHARED[name].split()))]
    return found


def sources():
    """Name and code of every module and every code cell that uses ipywidgets."""
    code = [(p.name, p.read_text("utf-8")) for p in sorted((ROOT / "dreamgym_nb").rglob("*.py"))]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code += [(path.name, "".join(c["source"])) for c in cells if c["cell_type"] == "code"]
    return [(name, source) for name, source in code if "ipywidgets" in source]


@pytest.mark.parametrize("name", SHARED)
def test_the_table_is_right_for_the_installed_version(name):
    has = set(getattr(ipywidgets, name).class_trait_names())
    has |= {"border"} if name == "Layout" else set()  # of 8 it is a property
    assert set(SHARED[name].split()) <= has


def test_modules_and_lessons_use_what_all_versions_have():
    found = [f"{where}: {said}" for where, code in sources() for said in complaints(code)]
    assert found == []


def test_something_is_looked_at():
    used = {name for _, code in sources() for name in re.findall(r"ipywidgets\.([A-Z]\w+)", code)}
    assert {"IntSlider", "Dropdown", "HTML", "Button", "Layout", "ToggleButtons"} <= used


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ipywidgets.Tab(titles=['a'])", ["Tab(titles=…)"]),
        ("ipywidgets.IntSlider(tooltip='a', value=1)", ["IntSlider(tooltip=…)"]),
        ("ipywidgets.Dropdown(description_tooltip='a')", ["Dropdown(description_tooltip=…)"]),
        ("ipywidgets.TagsInput()", ["TagsInput is not in the table"]),
        ("ipywidgets.Layout(border_top='0')", ["Layout(border_top=…)"]),
        ("tab.titles = ['a']", [".titles is not in all versions"]),
        ("from ipywidgets import IntSlider", ["import ipywidgets as a whole"]),
        ("import ipywidgets as w", ["import ipywidgets as a whole"]),
        ("ipywidgets.Button(tooltip='a'); ipywidgets.Tab().set_title(0, 'a')", []),
    ],
)
def test_what_is_in_one_version_only_is_found(code, said):
    found = complaints(code)
    assert len(found) == len(said)
    assert all(f.startswith(s) for f, s in zip(found, said, strict=True))
