"""The reading site opens from a disk: every link leads somewhere, nothing comes from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from dreamgym_nb import cli
from dreamgym_nb.course import links, site, site_math
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.syllabus import SYLLABUS, available

ROOT = Path(__file__).parents[1]
LOADING = {"script", "link", "img", "iframe", "source", "video", "audio", "embed", "object"}


class Reader(HTMLParser):
    """Notes the links, the anchors and everything that a page would load."""

    def __init__(self, html):
        super().__init__()
        self.hrefs, self.ids, self.loads, self.scripts = [], set(), [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.scripts += tag == "script"
        if "id" in found:
            self.ids.add(unquote(found["id"]))
        if tag == "a" and "href" in found:
            self.hrefs.append(found["href"])
        if tag in LOADING:
            self.loads += [found[k] for k in ("src", "href", "data") if found.get(k)]
        if tag == "iframe":  # a page within the page
            self.loads += Reader(found.get("srcdoc") or "").loads


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The site of this repository: file name -> its text."""
    out = tmp_path_factory.mktemp("site")
    site.build(ROOT, out)
    return {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()}


def test_there_is_a_page_for_every_lesson_and_text(pages):
    wanted = {f"{entry.stem}.html" for entry in available(ROOT)}
    wanted |= {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    assert set(pages) == wanted | {"index.html"}


def test_every_table_is_a_table(pages):
    for name, html in pages.items():
        assert "|---" not in re.sub(r"<pre.*?</pre>", "", html, flags=re.DOTALL), name


def test_a_long_name_in_a_table_may_be_broken_on_a_phone(pages):
    assert "<code>worlds.<wbr>base.<wbr>World.<wbr>fold</code>" in pages["notation.html"]


def test_a_named_folder_that_is_not_there_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    gone = str(tmp_path / "gone")
    assert cli.main(["site", "--out", str(tmp_path / "site"), "--executed", gone]) == 2
    assert "leave --executed out" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_nothing_is_loaded_from_anywhere(pages):
    for name, html in pages.items():
        seen = Reader(html)
        assert seen.scripts == 0, name
        assert [src for src in seen.loads if not src.startswith("data:")] == [], name
        assert not re.search(r"@import|url\((?!['\"]?data:)", html), name


def test_every_link_leads_somewhere(pages):
    read = {name: Reader(html) for name, html in pages.items()}
    outside = set()
    for name, seen in read.items():
        for href in seen.hrefs:
            if re.match(r"\w+:", href):
                outside.add(href)
                continue
            file, _, anchor = href.partition("#")
            assert (file or name) in read, f"{name} links to {href}"
            ids = read[file or name].ids
            assert not anchor or unquote(anchor) in ids, f"{name} links to {href}"
    assert all(url.startswith("https://") for url in outside)
    for url in outside:  # those into the repository lead to files that are there
        if url.startswith(links.page_url("")):
            path = unquote(url.removeprefix(links.page_url("")).partition("#")[0])
            assert (ROOT / path).exists(), url


def test_the_lessons_lead_from_one_to_the_next(pages):
    entries = available(ROOT)
    for before, after in zip(entries, entries[1:], strict=False):
        assert f'href="{after.stem}.html" class="next"' in pages[f"{before.stem}.html"]
        assert f'href="{before.stem}.html"' in pages[f"{after.stem}.html"]
    for html in pages.values():
        assert "index.html" in html or html is pages["index.html"]


def test_the_index_names_planned_lessons_without_a_link(pages):
    index = pages["index.html"]
    for entry in SYLLABUS:
        assert entry.question in index.replace("&#x27;", "'")
    planned = [e for e in SYLLABUS if e not in available(ROOT)]
    assert index.count('class="planned"') == len(planned)
    assert not any(f"{e.stem}.html" in index for e in planned)


def test_every_formula_of_the_course_is_drawn(pages):
    made = site.Made()
    for path in [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / e.path for e in available(ROOT))]:
        held = site_math.Formulas()
        texts = [path.read_text(encoding="utf-8")]
        if path.suffix == ".ipynb":
            texts = [c.source for c in nb.read(path).cells if c.cell_type == "markdown"]
        for text in texts:
            left = site_math._CODE.sub("", held.hold(text))
            # One that is broken over a line is taken for no formula, and its TeX would be read.
            assert not re.search(r"\\(hat|frac|gamma|mathrm|pi)\b", left), f"{path.name}: {left}"
        made.notes += [f"{path.name}: {tex}" for tex in held.undrawn]
    assert made.notes == []
    assert "FORMULA" not in "".join(pages.values())
    assert 'aria-label="V_\\tau"' in pages["notation.html"]


# ---- on a repository of our own --------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """A repository with one lesson that was run and one text."""
    root = tmp_path / "repository"
    (root / "docs").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "results").mkdir()
    (root / "results" / "x.json").write_text("{}")
    text = "# Words\n\nSee [the lesson](../notebooks/01_worlds_and_experience.ipynb#1-·-One)."
    (root / "docs" / "words.md").write_text(text + " Costs $5 and $6.\n", encoding="utf-8")
    cells = [
        nbformat.v4.new_markdown_cell(
            "# 01 · What?\n\n[![Open in Colab](https://img.shields.io/x)](https://c.example)\n\n"
            "With $s_t$ and `$x$`.\n\n$$\\sum_i \\unknowncommand{i}$$\n\n"
            "[a](../docs/words.md), [b](../results/x.json), [c](../README.md)\n\n## 1 · One"
        ),
        nbformat.v4.new_code_cell(
            'SIZE = "lesson"', metadata={"tags": ["parameters"]}, execution_count=1
        ),
        nbformat.v4.new_code_cell("1 + 1", execution_count=2),
    ]
    cells[2].outputs = [
        nbformat.v4.new_output(
            "display_data", {site.WIDGET: {"model_id": "a"}, "text/plain": "VBox(children=())"}
        )
    ]
    book = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"x": {"state": {}}}})
    nbformat.write(book, root / "notebooks" / "01_worlds_and_experience.ipynb")
    return root


def test_links_badges_widgets_and_formulas_of_a_page(small, tmp_path):
    made = site.build(small, tmp_path / "out")
    html = (tmp_path / "out" / "01_worlds_and_experience.html").read_text(encoding="utf-8")
    assert made.pages == 3
    [note] = made.notes
    assert "notebooks/01" in note and "\\unknowncommand{i} is shown as its TeX" in note
    assert "img.shields.io" not in html and "VBox" not in html and "Here stands a widget" in html
    assert 'href="words.html"' in html and 'href="index.html"' in html
    assert f'href="{links.page_url("results/x.json")}"' in html
    assert 'aria-label="s_t"' in html and "<code>$x$</code>" in html
    assert '<code class="tex">\\sum_i \\unknowncommand{i}</code>' in html
    words = (tmp_path / "out" / "words.html").read_text(encoding="utf-8")
    assert "Costs $5 and $6." in words, "money is no formula"


@pytest.mark.parametrize(
    ("size", "changed", "shown"),
    [("lesson", False, "newer"), ("smoke", False, "older"), ("lesson", True, "older")],
)
def test_a_fresh_run_is_shown_if_it_is_of_this_text_and_size(small, tmp_path, size, changed, shown):
    path = small / "notebooks" / "01_worlds_and_experience.ipynb"
    book = nb.read(path)
    book.cells[2].outputs = [nbformat.v4.new_output("stream", text="older")]
    nbformat.write(book, path)
    book.cells[2].outputs = [nbformat.v4.new_output("stream", text="newer")]
    if changed:
        book.cells[2].source = "2 + 2"
    book.metadata["papermill"] = {"parameters": {"SIZE": size}}
    (tmp_path / "run").mkdir()
    nbformat.write(book, tmp_path / "run" / path.name)
    site.build(small, tmp_path / "out", tmp_path / "run")
    html = (tmp_path / "out" / f"{path.stem}.html").read_text(encoding="utf-8")
    assert shown in html and {"newer": "older", "older": "newer"}[shown] not in html


def test_the_command_writes_the_site_and_says_what_is_missing(small, tmp_path, monkeypatch, capsys):
    path = small / "notebooks" / "01_worlds_and_experience.ipynb"
    book = nb.read(path)
    book.cells[2].outputs = []
    nbformat.write(book, path)
    monkeypatch.chdir(small)
    assert cli.main(["site", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "Wrote 3 pages" in said.out and "has no outputs: run it" in said.err
    monkeypatch.chdir(tmp_path)
    assert cli.main(["site"]) == 2


def test_text_between_dollars_in_code_is_left_alone():
    held = site_math.Formulas()
    text = "`$a$` and $b$\n```\n$c$\n```\nand $d$"
    told = held.draw(held.hold(text))
    assert "`$a$`" in told and "```\n$c$\n```" in told
    assert re.findall(r'aria-label="(\w)"', told) == ["b", "d"]


def test_a_drawing_takes_the_colour_and_size_of_the_text():
    small_one, tall = site_math.svg("x"), site_math.svg(r"\frac{x}{y}")
    heights = [float(re.search(r"height:([\d.]+)em", s)[1]) for s in (small_one, tall)]
    assert 0.3 < heights[0] < heights[1] < 3
    assert site_math.svg(r"\frac{x}{y}", block=True) != tall, "a fraction alone is drawn larger"
    assert "fill" not in small_one, "the page's style gives the colour"
    assert site_math.svg(r"\nosuchthing") is None
