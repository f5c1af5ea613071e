"""The shell of a page of the reading site: head, way through the course, style."""

from __future__ import annotations

from html import escape

STYLE = """\
:root { color-scheme: light dark; --soft: #6667; --rule: #8884; --code: #8881; --link: #0060a0; }
@media (prefers-color-scheme: dark) { :root { --link: #7cc0f0; } }
* { box-sizing: border-box; }
body { margin: 0; font: 1.05rem/1.6 system-ui, sans-serif; }
main, nav, footer { max-width: 54rem; margin: 0 auto; padding: 0 1rem; overflow-wrap: break-word; }
nav { display: flex; flex-wrap: wrap; gap: .3em 1.5em; padding-top: .8em; padding-bottom: .8em; }
nav .next { margin-left: auto; }
footer { border-top: 1px solid var(--rule); margin-top: 3em; padding-top: 1em; opacity: .8; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.25; margin-top: 1.6em; }
h1 { margin-top: .6em; }
a.anchor-link { visibility: hidden; text-decoration: none; padding-left: .3em; }
:is(h1, h2, h3, h4):hover > a.anchor-link { visibility: visible; }
pre, code { font: .88em/1.5 ui-monospace, monospace; }
code { background: var(--code); padding: .1em .25em; border-radius: .2em; }
pre code { background: none; padding: 0; }
pre { overflow: auto; margin: .5em 0; }
.input { margin: 1.2em 0 .4em; }
.input_area, main > pre { background: var(--code); padding: .5em .8em; }
.input_area { border-left: 3px solid var(--soft); }
.prompt, .output_prompt { display: none; }
.output_subarea { overflow-x: auto; }
.output_subarea pre { padding-left: .8em; white-space: pre-wrap; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3em .75em .3em .25em; }
th, td { border-bottom: 1px solid var(--rule); }
details { border-left: 3px solid var(--rule); padding-left: .8em; margin: .6em 0; }
summary { cursor: pointer; }
figure img, p img { max-width: 100%; height: auto; }
.math svg { fill: currentColor; overflow: visible; max-width: 100%; }
.math.block { display: block; overflow-x: auto; padding: .4em 0 .4em 1.5em; }
.note { border-left: 3px solid #e69f00; padding: .2em .8em; }
.planned { opacity: .65; }
"""


def page(title: str, body: str, nav: str, code_style: str) -> str:
    """Return a whole page.

    Args:
        title: What the browser's tab says.
        body: HTML of the page itself.
        nav: HTML of the links to other pages; stands above and below.
        code_style: Style sheet of highlighted code.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}{code_style}\n</style>\n</head>\n<body>\n"
        f'<nav aria-label="Course">{nav}</nav>\n<main>\n{body}\n</main>\n'
        f'<nav aria-label="Course, again">{nav}</nav>\n'
        "<footer><p>dreamgym_nb, an open course about DreamGym. It is not by the authors of the "
        "paper. This page needs no network; links that leave it do.</p></footer>\n"
        "</body>\n</html>\n"
    )


def link(target: str, words: str, kind: str = "") -> str:
    """Return a link; `kind` is a class for the style."""
    marked = f' class="{kind}"' if kind else ""
    return f'<a href="{escape(target)}"{marked}>{escape(words)}</a>'
