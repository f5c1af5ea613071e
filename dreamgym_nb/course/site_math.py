"""Formulas as small drawings inside the page, so that reading them needs no script and no network.

The usual way, MathJax, is a script that a page loads from a server when it is read. matplotlib,
which the course needs anyway, knows enough TeX for the formulas of the lessons. Each becomes an
inline SVG in the colour of the text, with its TeX as the name that a screen reader says.
"""

from __future__ import annotations

import functools
import re
from html import escape

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$(?!\d)", re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_SIZE = 10.0

# What the lessons write, and matplotlib calls otherwise or draws by itself.
_OTHERWISE = {
    r"\\(?:big|Big|bigg|Bigg)[lr]?(?![a-zA-Z])": "",
    r"\\le(?![a-zA-Z])": r"\\leq",
    r"\\ge(?![a-zA-Z])": r"\\geq",
    r"\\ne(?![a-zA-Z])": r"\\neq",
    r"\\iff(?![a-zA-Z])": r"\\;\\Longleftrightarrow\\;",
    r"(?<=[A-Za-z0-9})])\s*\\(?=(?:log|cos|sin|exp)(?![a-zA-Z]))": r"\\,\\",
    r"\\lvert(?![a-zA-Z])|\\rvert(?![a-zA-Z])": "|",
}


class Formulas:
    """Takes the formulas out of a Markdown text and puts drawings into the page made of it.

    Attributes:
        undrawn: The formulas that matplotlib does not know; the page shows their TeX.
    """

    def __init__(self) -> None:
        self.undrawn: list[str] = []
        self._held: list[str] = []

    def hold(self, text: str) -> str:
        """Replace each formula by a word that Markdown leaves alone; code is left as it is."""
        parts, end = [], 0
        for code in _CODE.finditer(text):
            parts += [FORMULA.sub(self._word, text[end : code.start()]), code[0]]
            end = code.end()
        return "".join([*parts, FORMULA.sub(self._word, text[end:])])

    def draw(self, html: str) -> str:
        """Put a drawing where `hold` left a word."""
        return re.sub(r"FORMULA(\d+)ALUMROF", lambda m: self._held[int(m[1])], html)

    def _word(self, found: re.Match[str]) -> str:
        tex = " ".join((found[1] or found[2]).split())
        drawing = svg(tex, found[1] is not None)
        if drawing is None:
            self.undrawn.append(tex)
            drawing = f'<code class="tex">{escape(tex)}</code>'
        kind = "math block" if found[1] else "math"
        self._held.append(f'<span class="{kind}">{drawing}</span>')
        return f"FORMULA{len(self._held) - 1}ALUMROF"


@functools.lru_cache(maxsize=2000)
def svg(tex: str, block: bool = False) -> str | None:
    """Draw a formula; None if matplotlib does not know some of it.

    Args:
        tex: Without its dollar signs.
        block: Whether it stands on a line of its own, where a fraction has its full size.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath, text_to_path

    told = tex.replace(r"\frac", r"\dfrac") if block else tex
    for pattern, instead in _OTHERWISE.items():
        told = re.sub(pattern, instead, told)
    font = FontProperties(size=_SIZE, math_fontfamily="cm")
    try:
        width, height, depth = text_to_path.get_text_width_height_descent(
            f"${told}$", font, ismath=True
        )
        outline = TextPath((0, 0), f"${told}$", size=_SIZE, prop=font)
    except ValueError:  # what mathtext raises for TeX that it does not know
        return None
    height, depth = height + 0.5, depth + 0.5  # strokes reach a little over their boxes
    box = f"0 {-10 * (height - depth):.0f} {10 * width:.0f} {10 * height:.0f}"
    return (
        f'<svg role="img" aria-label="{escape(tex)}" viewBox="{box}" '
        f'style="width:{width / _SIZE:.2f}em;height:{height / _SIZE:.2f}em;'
        f'vertical-align:{-depth / _SIZE:.2f}em"><path d="{_path(outline)}"/></svg>'
    )


def _path(outline) -> str:
    """The outline as the commands of an SVG path, in tenths and upside down."""
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    told = []
    for points, code in outline.iter_segments(simplify=False):
        if letters[code] == "Z":
            told.append("Z")
            continue
        flipped = [f"{10 * x * s:.0f}" for x, s in zip(points, _signs(points), strict=True)]
        told.append(letters[code] + " ".join(flipped))
    return "".join(told)


def _signs(points) -> list[int]:
    return [1, -1] * (len(points) // 2)
