"""A site to read the executed lessons without a network: `dreamgym site`, `make site`.

One folder of pages that open from a disk: an index, a page for each lesson and for each text of
`docs/`, with the way to the next and the one before. nbconvert makes the HTML of cells, outputs
and Markdown. Its usual pages load MathJax, require.js and widgets from servers when they are
read; so formulas are drawn at build time (`site_math`), and where a widget would stand a sentence
says so. A test follows every link and looks for anything that a page would load.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from posixpath import normpath
from urllib.parse import quote, unquote

import nbformat

from ..errors import UserError
from ..experience import atomic_write
from . import ledger, links, site_page
from . import notebook as nb
from .site_math import Formulas
from .syllabus import SYLLABUS, Entry, available

WIDGET = "application/vnd.jupyter.widget-view+json"
_BADGE = re.compile(r"^\[!\[(?:Open in Colab|Launch Binder)\]\([^\n]*$\n?", re.MULTILINE)
_NO_WIDGET = (
    '<p class="note">Here stands a widget, to be touched in the running notebook. The picture '
    "before it shows the same.</p>"
)
_NAME_IN_A_CELL = re.compile(r"(?<=<td><code>)[\w.]+(?=</code>)")
"""A dotted name in a table: on a phone it may be broken after its dots."""


@dataclass
class Made:
    """What `build` has written.

    Attributes:
        pages: How many pages.
        notes: Sentences about what a reader will miss, such as a lesson that was not run.
    """

    pages: int = 0
    notes: list[str] = field(default_factory=list)


def build(root: Path, out: Path, executed: Path | None = None) -> Made:
    """Write the site.

    Args:
        root: The repository.
        out: The folder of the pages; pages of the same name are replaced.
        executed: A folder of executed copies. A copy that was run at lesson size and has the
            lesson's own cells is taken instead of the outputs in the notebook.

    Raises:
        UserError: If there is no lesson.
    """
    lessons = available(root)
    if not lessons:
        raise UserError("There is no lesson here: run this in the repository.")
    texts = sorted((root / "docs").glob("*.md"))
    made = Made()
    for place, entry in enumerate(lessons):
        book = _newest(root / entry.path, executed)
        if not any(cell.get("outputs") for cell in book.cells):
            made.notes.append(f"{entry.stem} has no outputs: run it (make course), then again.")
        before = lessons[place - 1] if place else None
        after = lessons[place + 1] if place + 1 < len(lessons) else None
        body = _Page(root, entry.path, made).of_notebook(book)
        title = f"{entry.number} · {entry.question}"
        _write(out, entry.stem, title, _outside(entry) + body, _nav(before, after), made)
    for path in texts:
        body = _Page(root, f"docs/{path.name}", made).of_text(path.read_text(encoding="utf-8"))
        _write(out, path.stem, _title(path), body, _nav(None, None), made)
    _write(out, "index", "DreamGym, a course", _index(root, lessons, texts), "", made)
    return made


def _write(out: Path, stem: str, title: str, body: str, nav: str, made: Made) -> None:
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    light = re.sub(r"background: [^;]+;", "", light)
    dark = re.sub(r"background(-color)?: [^;}]+;?", "", dark)
    code = f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"
    atomic_write(out / f"{stem}.html", site_page.page(title, body, nav, code))
    made.pages += 1


def _newest(path: Path, executed: Path | None) -> nbformat.NotebookNode:
    """The lesson with the outputs to show: those of an executed copy that is of this very text."""
    book = nb.read(path)
    copy = None if executed is None else executed / path.name
    if copy is None or not copy.is_file():
        return book
    run = nb.read(copy)
    size = run.metadata.get("papermill", {}).get("parameters", {}).get("SIZE")
    cells = [cell for cell in run.cells if not nb.has_tag(cell, *nb.ADDED_TAGS)]
    if size != "lesson" or [c.source for c in cells] != [c.source for c in book.cells]:
        return book
    book.cells = cells
    return book


# ---- one page --------------------------------------------------------------------------------


class _Page:
    """Makes the HTML of one file of the repository."""

    def __init__(self, root: Path, path: str, made: Made) -> None:
        self._root, self._path, self._made = root, path, made
        self._formulas = Formulas()

    def of_notebook(self, book: nbformat.NotebookNode) -> str:
        from nbconvert import HTMLExporter

        book = nbformat.from_dict(book)
        book.metadata.pop("widgets", None)
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = self._formulas.hold(_BADGE.sub("", cell.source))
            for output in cell.get("outputs", ()):
                if WIDGET in output.get("data", {}):
                    output.data = nbformat.from_dict({"text/html": _NO_WIDGET})
        body, _ = HTMLExporter(template_name="basic").from_notebook_node(book)
        return self._finish(body)

    def of_text(self, text: str) -> str:
        from nbconvert.filters.markdown import markdown2html

        return self._finish(markdown2html(self._formulas.hold(text)))

    def _finish(self, html: str) -> str:
        for tex in self._formulas.undrawn:
            self._made.notes.append(f"{self._path}: the formula {tex} is shown as its TeX.")
        html = _with_ids(html)
        html = _NAME_IN_A_CELL.sub(lambda name: name[0].replace(".", ".<wbr>"), html)
        html = re.sub(r'(<a\b[^>]*\bhref=")([^"]*)(")', self._link, html)
        return self._formulas.draw(html)

    def _link(self, found: re.Match[str]) -> str:
        return f"{found[1]}{escape(self.target(found[2]))}{found[3]}"

    def target(self, href: str) -> str:
        """Where a link of this file leads on the site: another page, or the repository's page."""
        if re.match(r"\w+:", href):
            return href
        file, mark, anchor = href.partition("#")
        if not file:
            return href
        path = normpath(f"{self._path.rpartition('/')[0]}/{unquote(file)}")
        if re.fullmatch(r"notebooks/\w+\.ipynb|docs/\w+\.md", path) and self._there(path):
            return f"{quote(Path(path).stem)}.html{mark}{anchor}"
        if path == "README.md":
            return "index.html"
        return links.page_url(path) + mark + anchor

    def _there(self, path: str) -> bool:
        return (self._root / path).is_file()


def _with_ids(html: str) -> str:
    """Give each heading the anchor that GitHub gives it, too: texts link to that one."""

    def also(found: re.Match[str]) -> str:
        words = re.sub(r"<[^>]+>|¶", "", found[3]).strip()
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        given = re.search(r'\bid="([^"]*)"', found[2])
        if not slug or (given and unquote(given[1]) == slug):
            return found[0]
        return f'<{found[1]}{found[2]}><span id="{escape(slug)}"></span>{found[3]}</{found[1]}>'

    return re.sub(r"<(h[1-6])([^>]*)>(.*?)</\1>", also, html, flags=re.DOTALL)


# ---- the way through -------------------------------------------------------------------------


def _nav(before: Entry | None, after: Entry | None) -> str:
    told = [site_page.link("index.html", "Contents")]
    if before is not None:
        told.append(site_page.link(f"{before.stem}.html", f"← {before.number} {before.name}"))
    if after is not None:
        told.append(site_page.link(f"{after.stem}.html", f"{after.number} {after.name} →", "next"))
    return "\n".join(told)


def _outside(entry: Entry) -> str:
    """The doors to the running notebook; they need a network."""
    colab = site_page.link(links.colab_url(entry.path), "Colab")
    binder = site_page.link(links.binder_url(entry.path), "Binder")
    return f"<p>To run this lesson: {colab}, {binder}, or JupyterLab on your own machine.</p>\n"


def _index(root: Path, lessons: Sequence[Entry], texts: Sequence[Path]) -> str:
    costs = ledger.read(root / ledger.RECORDS)
    here = {entry.stem for entry in lessons}
    rows = []
    for entry in SYLLABUS:
        name = f"{entry.number} {entry.name}"
        cost = costs.get(entry.stem, {}).get("lesson")
        runs = ledger.minutes(cost["minutes"]) if cost else "not yet measured"
        if entry.stem in here:
            cells = (site_page.link(f"{entry.stem}.html", name), entry.question, runs)
            rows.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
        else:
            cells = (name, entry.question, "planned")
            rows.append('<tr class="planned">' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    papers = "".join(
        f"<li>{site_page.link(f'{path.stem}.html', _title(path))}</li>" for path in texts
    )
    return (
        "<h1>Can an agent learn to act in a world that it only dreams of?</h1>\n"
        "<p>A course in notebooks about DreamGym: reinforcement learning for language-model agents "
        "inside a learned, reasoning experience model. These pages are the lessons as they were "
        f"run. The course itself lives at {site_page.link(links.HOME, links.HOME)}.</p>\n"
        '<h2 id="lessons">Lessons</h2>\n<table><thead><tr><th>lesson</th><th>question</th>'
        f"<th>runs in</th></tr></thead><tbody>{''.join(rows)}</tbody></table>\n"
        f'<h2 id="beside">Beside the lessons</h2>\n<ul>{papers}</ul>'
    )


def _title(path: Path) -> str:
    """The title of a text: its first line."""
    return path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ").strip()
