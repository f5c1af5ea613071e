"""What a world shows, as tables of a page: an episode, and the same page in several writings.

Every text is escaped, stands in an ordinary table or list, and is legible on white and on black:
a page that strips the styles still has all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..experience import Trajectory

_MONO = "font-family:ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;margin:0"
_RULE = "1px solid rgba(128,128,128,.35)"
_TABLE = "border-collapse:collapse;margin:1em 0;line-height:1.45;color:inherit;max-width:64em"
_CELL = (
    f"text-align:left;vertical-align:top;padding:.3em .75em .3em .25em;border:0;border-top:{_RULE};"
    "white-space:normal;overflow-wrap:anywhere"
)
_HEAD = "text-align:left;padding:.3em .75em .3em .25em;border:0;font-weight:bold"
_BOX = f"{_MONO};font-size:90%;line-height:1.4;max-height:22em;overflow:auto;padding:.5em"

NO_MATHS = 'class="tex2jax_ignore mathjax_ignore"'
"""To be put into the tag around text of a world: between two dollar signs, as of two prices, a page
would see a formula. The first name is for the pages of nbconvert and Colab, the second for
JupyterLab; what stands in a `<pre>` needs none."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def count_tokens(text: str) -> int:
    """Return how many words and signs a text has.

    A neutral measure that needs no model: `click[b33]` has four. The tokenizers of language models
    also cut words and merge signs, so their counts differ.
    """
    return len(_TOKEN.findall(text))


def pre(text: str, label: str, style: str = _BOX) -> str:
    """Write a text as it stands, in a box that the keyboard can scroll.

    Args:
        text: The text; it is escaped.
        label: What a screen reader calls the box.
        style: CSS of the box.
    """
    return (
        f'<pre tabindex="0" role="region" aria-label="{escape(label)}" '
        f'style="{style};border:{_RULE};background:transparent;color:inherit">{escape(text)}</pre>'
    )


def same_page_html(texts: Mapping[str, str], picture: str = "") -> str:
    """Return one page in several writings, side by side, each with its number of tokens.

    Args:
        texts: Name of the writing to the text, in the order of the columns.
        picture: HTML that shows the page as a person sees it; stands above the columns.
    """
    columns = "".join(
        '<div style="flex:1 1 15em;min-width:0">'
        f"<div><strong>{escape(name)}</strong>: {count_tokens(text):,} tokens</div>"
        f"{pre(text, name)}</div>"
        for name, text in texts.items()
    )
    return (
        f'{picture}<div style="display:flex;flex-wrap:wrap;gap:1em;margin:1em 0;max-width:75em">'
        f"{columns}</div>"
    )


def page_picture(html: str, css: str, title: str, height: int = 220) -> str:
    """Return a frame that shows a page of HTML as a person sees it; nothing in it can act.

    Args:
        html: The page.
        css: Its style sheet, put into the page: the frame has no server behind it.
        title: What a screen reader calls the frame.
        height: In pixels.
    """
    framed = re.sub(r"<link\b[^>]*>", "", html).replace("</head>", f"<style>{css}</style></head>")
    return (
        f'<iframe sandbox="" title="{escape(title)}" srcdoc="{escape(framed)}" '
        f'style="width:100%;max-width:64em;height:{height}px;border:{_RULE};background:white">'
        "</iframe>"
    )


def episode_html(trajectory: Trajectory) -> str:
    """Return a table of an episode: the action of each step, what was observed, the reward."""
    head = "".join(
        f'<th scope="col" style="{_HEAD}">{name}</th>'
        for name in ("Step", "Action", "Observation", "Reward")
    )
    rows = [("0", "(reset)", trajectory.observation, "")]
    rows += [
        (str(number), t.action, t.observation, f"{t.reward:g}")
        for number, t in enumerate(trajectory.transitions, start=1)
    ]
    body = "".join(
        f'<tr style="background:transparent"><td style="{_CELL}">{number}</td>'
        f'<td style="{_CELL}"><strong style="{_MONO}">{escape(action)}</strong></td>'
        f'<td style="{_CELL}"><div style="{_MONO}">{escape(observation)}</div></td>'
        f'<td style="{_CELL}">{reward}</td></tr>'
        for number, action, observation, reward in rows
    )
    world, task = trajectory.task.world, trajectory.task.instruction
    return (
        f'<table {NO_MATHS} style="{_TABLE}">'
        '<caption style="text-align:left;caption-side:top;color:inherit">'
        f"An episode in the {escape(world)} ({escape(trajectory.behaviour)}): {escape(task)}"
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def show_episode(trajectory: Trajectory) -> None:
    """Display `episode_html` in the notebook."""
    from IPython.display import HTML, display

    display(HTML(episode_html(trajectory)))


def show_same_page(texts: Mapping[str, str], picture: str = "") -> None:
    """Display `same_page_html` in the notebook."""
    from IPython.display import HTML, display

    display(HTML(same_page_html(texts, picture)))
