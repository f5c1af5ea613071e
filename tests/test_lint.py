"""Each rule for lessons is kept by a good notebook, and a broken one is noticed."""

import copy
import re

import nbformat
import pytest

from dreamgym_nb.course import links, lint
from dreamgym_nb.course import notebook as nb

FIGURE = '<figure><img src="" alt="A"><figcaption>Computed by this notebook.</figcaption></figure>'
RECALL = "\n".join(
    f"<details><summary>{n}. Why?</summary>\n\nSo.\n</details>\n" for n in range(1, 6)
)
BODY, FIGURES, ENDING = 4, 5, -1  # places in the good notebook


def good_notebook(name="x"):
    """Return a small notebook that keeps every rule."""
    v4 = nbformat.v4
    urls = [url(f"notebooks/{name}.ipynb") for url in (links.colab_url, links.binder_url)]
    badges = " ".join(f"[b]({url})" for url in urls)
    opening = (
        f"# A question?\n\n{badges}\n\n*Lesson size, measured 2026-01-01: 1 minute.*\n\n"
        "**You will be able to** do it.\n\n**You need** nothing."
    )
    picture = v4.new_output("display_data", {"text/html": FIGURE})
    code = v4.new_code_cell
    cells = [
        v4.new_markdown_cell(opening),
        code(f'course.start("{name}")', execution_count=1),
        code('SIZE = "lesson"', metadata={"tags": ["parameters"]}, execution_count=2),
        v4.new_markdown_cell("## Part\n\n![the loop](data:image/png;base64,AAAA)"),
        v4.new_markdown_cell("### Detail\n\n" + "plain words " * 500),
        code("import numpy as np\n\nshow()", execution_count=3, outputs=[picture]),
        code(""),
        *(code("pass", execution_count=4 + i) for i in range(20)),
        v4.new_markdown_cell(
            f"## What surprised us\n\nLittle.\n\n{RECALL}\n**You can now** go. **Next:** 02."
        ),
    ]
    return v4.new_notebook(cells=cells)


def test_a_good_notebook_has_no_complaints():
    assert lint.complaints(good_notebook(), "x.ipynb") == []


def _set(cell, **fields):
    return lambda book: book.cells[cell].update(fields)


def _text(words, cell=BODY):
    def change(book):
        book.cells[cell].source += f"\n\n{words}"

    return change


def _without(words, cell):
    def change(book):
        assert words in book.cells[cell].source
        book.cells[cell].source = book.cells[cell].source.replace(words, "")

    return change


def _output(kind, **fields):
    return _set(FIGURES, outputs=[nbformat.v4.new_output(kind, **fields)])


def _html(html):
    return _output("display_data", data={"text/html": html})


HOME = "/" + "home/me/data"  # in pieces, or the search for machines would find this file

BROKEN = [
    (_without("# A question?", 0), ["a line that starts with", "skips a level"]),
    (_without("?\n", 0), ["must be the question"]),
    (_without("Lesson size, measured", 0), ["lacks a status line"]),
    (_without("You will be able to", 0), ["what you will be able to do"]),
    (_without("You need", 0), ["what is needed first"]),
    (_without("colab", 0), ["badge"]),
    (_set(1, source='course.start("y")'), [r'must call course.start\("x"\)']),
    (_set(2, source='SIZE = "smoke"'), ['must hold SIZE = "lesson"']),
    (_set(2, metadata={}), ["0 code cells tagged 'parameters'"]),
    (_set(3, source="![ ](x.png)"), ["skips a level", "without alt text"]),
    (_set(3, source='## A\n\n<img src="x.png" alt=" ">'), ["without alt text"]),
    (_set(FIGURES, source="pass\n" * 31), ["has 31 lines"]),
    (_set(FIGURES, source="x" * 80), ["more than 79 columns"]),
    (_set(FIGURES, execution_count=5), [r"run as \[5\] and should be \[3\]"]),
    (_set(FIGURES, execution_count=None), [r"run as \[None\]"]),
    (_set(FIGURES, metadata={"tags": ["raises-exception"]}), ["tagged raises-exception"]),
    (_set(FIGURES, metadata={"tags": ["injected-parameters"]}), ["an executed copy"]),
    (_set(FIGURES, source="!pip install x"), ["is not Python"]),
    (_set(FIGURES, source="import a\nb = 1\nimport c"), ["more than one place"]),
    (_set(FIGURES, source="x = 1\nimport a"), ["more than one place"]),
    (_set(FIGURES, source="\n".join(f"def f{i}(): 1" for i in "abcd")), ["defines 4 things"]),
    (_set(FIGURES, source="import urllib.request"), ["does not go online"]),
    (_set(FIGURES, source="from requests import get"), ["does not go online"]),
    (_set(FIGURES, source='x = "https://example.org"'), ["does not go online"]),
    (_set(FIGURES, source=f'x = "{HOME}"'), ["a place of one machine"]),
    (_output("error", ename="KeyError", evalue="'a'"), ["ended with KeyError: 'a'"]),
    (_output("stream", name="stderr", text="Warning: old"), ["wrote to stderr: Warning"]),
    (_output("stream", name="stdout", text=f"saved in {HOME}"), ["shows a place"]),
    (_output("display_data", data={"image/png": "AAAA"}), ["a bare picture"]),
    (_html('<img src="a" alt=" ">'), ["without alt"]),
    (_html("<img src=a>"), ["without alt text"]),
    (_html('<figure><img src="" alt="A"></figure>'), ["where its numbers come from"]),
    (_html(FIGURE.replace("Computed by", "By")), ["where its numbers come from"]),
    (_text("The dream is right 95% of the time."), [r"without a source \(95%\)"]),
    (_text("It went from 0.21 to 0.49."), [r"without a source \(0.21\)"]),
    (_text("# Again"), ["a second title"]),
    (_text("##### Deep"), ["skips a level: ### is followed by #####"]),
    (_text("[a](/x.md)"), ["of one machine only"]),
    (_text("<details><summary>Hint</summary>\n\nLook."), ["a fold without an end"]),
    (_text("<details><summary>Hint</summary>\nLook.\n</details>"), ["without an empty line"]),
    (_text(f"Look into {HOME}."), ["names a place of one machine"]),
    (_set(BODY, source="### Detail"), ["words of prose"]),
    (_text("more words " * 500), ["words of prose"]),
    (_without("You can now", ENDING), ["what you can do now"]),
    (_without("Next:", ENDING), ["which lesson is next"]),
    (_without("What surprised us", ENDING), ["what surprised us"]),
    (_without("3. Why?", ENDING), ["5 folded recall questions"]),
    (lambda book: book.cells.__delitem__(slice(7, 20)), ["It has 15 cells", *["was run as"] * 7]),
    (lambda book: [c.update(source="pass\n" * 11) for c in book.cells[7:27]], ["median code cell"]),
]


@pytest.mark.parametrize(("spoil", "said"), BROKEN)
def test_each_broken_rule_is_noticed(spoil, said):
    book = good_notebook()
    spoil(book)
    found = lint.complaints(book, "x.ipynb")
    assert len(found) == len(said), found
    for sentence, pattern in zip(found, said, strict=True):
        assert re.search(pattern, sentence)


@pytest.mark.parametrize(
    "words",
    [
        "It was right 95% of the time (recorded, results/x, 3 seeds).",
        "The paper has 13.3 against 7.3.",
        "The rate is $0.21$, and `1.5e-3` is a setting, and so is `0.5`.",
        "At most 0.25 by definition.",
        "Python 3.11.7 and lesson 02, 96 products, 2 of 3.",
        "```python\nx = 0.21\n```",
        "[a](https://example.org) and [b](mailto:a@example.org)",
        "<details><summary>Hint</summary>\n\nLook.\n</details>",
    ],
)
def test_what_is_allowed_in_a_text(words):
    book = good_notebook()
    _text(words)(book)
    assert lint.complaints(book, "x.ipynb") == []


def test_links_must_lead_to_files_and_headings(tmp_path):
    for name in ("x", "y"):
        (tmp_path / f"{name}.ipynb").write_text(nbformat.writes(good_notebook(name)))
    (tmp_path / "g.md").write_text("# Terms\n\n## V_τ, the value?\n")
    book = nb.read(tmp_path / "x.ipynb")
    good = "[a](y.ipynb) [b](y.ipynb#Part) [c](#detail) [d](g.md#v_τ-the-value)"
    good += " [e](g.md#V_τ,-the-value?)"
    bad = "[f](z.ipynb) [g](y.ipynb#Parts) [h](#nowhere)"
    ours = copy.deepcopy(book)
    _text(good)(ours)
    assert lint.complaints(ours, tmp_path / "x.ipynb") == []
    _text(bad)(ours)
    said = lint.complaints(ours, tmp_path / "x.ipynb")
    assert [bool(re.search("no such (file|heading)", s)) for s in said] == [True] * 3


def test_folded_text_code_and_maths_are_no_words():
    book = good_notebook()
    before = lint.count_words(book)
    _text("<details><summary>Hint</summary>\n\nmany words\n</details>\n\n```\na b\n```\n\n$x y$")(
        book
    )
    _text("[two words](https://example.org/not-these)")(book)
    assert lint.count_words(book) == before + 2


def test_the_command_names_the_notebook_and_says_by_its_code_whether_all_is_well(tmp_path, capsys):
    path = tmp_path / "x.ipynb"
    path.write_text(nbformat.writes(good_notebook()))
    assert lint.main([str(path)]) == 0
    book = good_notebook()
    book.cells[5].source = "x" * 80
    path.write_text(nbformat.writes(book))
    assert lint.main([str(path)]) == 1
    assert capsys.readouterr().out.startswith("x.ipynb: Cell 6 (`xxx")
