"""The bench's page: every section with its pictures and its numbers, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dreamgym_nb.course.figures import PALETTE, figure_html, line_style
from dreamgym_nb.experience import atomic_write

Section = Mapping[str, Any]
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:85%;margin:.5rem 0}"
    "th,td{border:1px solid #bbb;padding:.15rem .5rem;text-align:right}"
    "th:first-child,td:first-child{text-align:left}"
)


def write(sections: Mapping[str, Section], path: Path, record: Path) -> Path:
    """Write the page.

    Args:
        sections: what is recorded at one size, by name.
        path: of the page.
        record: where the numbers lie, for the captions.
    """
    parts = [
        "<h1>How fast this machine dreams</h1>",
        "<p>Times are medians of several rounds in which all ways take turns; a ratio is taken "
        "within each round first. The floor is the arithmetic that the work needs, divided by this "
        "machine's measured fp32 matmul rate. Memory is the growth of the process.</p>",
    ]
    for name, section in sections.items():
        detail = f"{record.as_posix()}, {section['date']}"
        parts.append(f"<h2>{escape(_TITLES[name])}</h2>")
        parts.append(f"<p>{escape(_facts(section))}</p>")
        parts += _SECTIONS[name](section, detail)
        if section["ratios"]:
            parts.append("<h3>Ratios</h3>" + _ratios(section["ratios"]))
    body = "\n".join(parts)
    return atomic_write(
        path,
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>dreamgym bench</title><style>{_STYLE}</style></head><body>{body}</body></html>\n",
    )


_TITLES = {
    "dream": "Dreamed transitions per second",
    "iteration": "One iteration of GRPO in the dream",
    "worlds": "Real worlds' steps per second",
    "training": "Training tokens per second",
    "growth": "How costs grow",
}


def _facts(section: Section) -> str:
    m = section["machine"]
    return (
        f"{m['processor']}, {m['cpus']} processors, {m['threads']} thread(s), load "
        f"{section['load']} at the start; Python {m['python']}, torch {m['torch']}, transformers "
        f"{m['transformers']}, trl {m['trl']}; {section['date']}, {section['seconds']:.0f} s, "
        f"memory {section['memory_mb']} MB ({section['memory_method']})."
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{escape(n.replace("_", " "))}</th>' for n in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(row.get(n)))}</td>" for n in names) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _ratios(ratios: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        {"ratio": n, "by the clock": r["wall"], "by processor time": r["cpu"]}
        for n, r in ratios.items()
    ]
    return _table(rows)


def _bars(
    values: Mapping[str, float], unit: str, title: str, alt: str, detail: str, floor: float = 0.0
) -> str:
    """Horizontal bars with their values beside them; a dashed line for what arithmetic allows."""
    fig = Figure(figsize=(7.5, 0.8 + 0.42 * len(values)), layout="constrained")
    ax = fig.subplots()
    names = list(values)[::-1]
    bars = ax.barh(names, [values[n] for n in names], color=PALETTE[0])
    ax.bar_label(bars, [f"{values[n]:.3g}" for n in names], padding=3)
    ax.margins(x=0.15)
    if floor:
        ax.axvline(floor, color=PALETTE[1], linestyle="--", label="what the arithmetic allows")
        ax.set_xscale("log")
        ax.legend(fontsize=8)
    ax.set_xlabel(unit)
    return figure_html(fig, title=title, alt=alt, numbers=None, source="recorded", detail=detail)


def _curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str],
    title: str,
    detail: str,
    logx: bool = True,
) -> str:
    """Lines over one quantity, logarithmic upwards."""
    fig = Figure(figsize=(6.5, 3.4), layout="constrained")
    ax = fig.subplots()
    for index, (name, (x, y)) in enumerate(curves.items()):
        ax.plot(x, y, label=name, **line_style(index))
    ax.set_yscale("log")
    if logx:
        ax.set_xscale("log")
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    ax.legend(fontsize=8)
    alt = f"Lines of {labels[1]} over {labels[0]}: " + "; ".join(
        f"{name} from {y[0]:.3g} to {y[-1]:.3g}" for name, (_, y) in curves.items()
    )
    return figure_html(fig, title=title, alt=alt, source="recorded", detail=detail)


def _ways(ways: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"way": name, **row} for name, row in ways.items()]


# ---- the sections ------------------------------------------------------------------------


def _dream(section: Section, detail: str) -> list[str]:
    parts = []
    for world, found in section["worlds"].items():
        ways = found["ways"]
        ours, floor = ways["ours"]["per_second"], 1000 / ways["ours"]["floor_milliseconds"]
        parts.append(
            _bars(
                {n: w["per_second"] for n, w in ways.items()},
                "dreamed transitions per second",
                f"In the {world}, ours dreams {ours:.3g} transitions a second; the arithmetic "
                f"alone would allow {floor:,.0f}",
                f"Bars of transitions a second for {len(ways)} ways; the values are in the table.",
                detail,
                floor,
            )
        )
        parts.append(_table(_ways(ways)))
        numbers = {k: v for k, v in found.items() if isinstance(v, int | float)}
        parts.append(_table([numbers]))
        parts.append("<h3>Do they say the same?</h3>")
        parts.append(_table([{"pair": n, **c} for n, c in found["agreement"].items()]))
        parts.append("<h3>Where the time of ours goes (shares of processor time)</h3>")
        parts.append(_table([found["where_time_goes"]]))
        rates = [{"product": n, **r} for n, r in found["matmul"].items()]
        parts.append("<h3>Matmul rate, fp32</h3>" + _table(rates))
    return parts


def _iteration(section: Section, detail: str) -> list[str]:
    values = {
        f"{way}, iteration {i + 1}": row["seconds"]
        for way, found in section["ways"].items()
        for i, row in enumerate(found["iterations"])
    }
    rows = [
        {"way": way, "iteration": i + 1, **row, "memory_mb": found["memory_mb"]}
        for way, found in section["ways"].items()
        for i, row in enumerate(found["iterations"])
    ]
    gain = section["ratios"]["whole run"]["wall"]
    title = f"An iteration takes {gain:.3g} times as long with a plain rollout as with ours"
    alt = f"Bars of seconds for {len(values)} iterations; the values are in the table."
    return [
        _bars(values, "seconds", title, alt, detail),
        _table(rows),
        f"<p>The update alone needs {section['update_floor_seconds']:.3g} s of arithmetic.</p>",
    ]


def _worlds(section: Section, detail: str) -> list[str]:
    rows = _ways(section["worlds"])
    values = {n: r["milliseconds"] for n, r in section["worlds"].items()}
    title = "A step of " + ", of ".join(f"{n} takes {v:.3g} ms" for n, v in values.items())
    absent = "".join(f"<li>{escape(n)}: {escape(why)}</li>" for n, why in section["absent"].items())
    alt = "Bars of milliseconds a step; the values are in the table."
    return [
        _bars(values, "milliseconds a step", title, alt, detail),
        _table(rows),
        f"<p>Not measured:</p><ul>{absent}</ul>",
    ]


def _training(section: Section, detail: str) -> list[str]:
    parts = []
    for name, found in section["parts"].items():
        ways = found["ways"]
        values = {n: w["per_second"] for n, w in ways.items()}
        parts.append(
            _bars(
                values,
                "tokens per second",
                f"{name}: ours trains on {values['ours']:,.0f} tokens a second",
                f"Bars of tokens a second for {len(ways)} ways; the values are in the table.",
                detail,
                1000 / ways["ours"]["floor_milliseconds"],
            )
        )
        parts.append(_table(_ways(ways)))
    return parts


# Curve -> (the quantity that grows, its name).
_GROWTH = {
    "batch": ("rows", "rows in a batch"),
    "memories": ("memories", "memories in the prompt"),
    "history": ("history", "earlier actions in the prompt"),
    "turns": ("turns", "earlier turns of the agent"),
    "model": ("parameters", "parameters"),
}


def _growth(section: Section, detail: str) -> list[str]:
    parts = []
    for curve, (key, label) in _GROWTH.items():
        rows = section["curves"][curve]
        x = [row[key] for row in rows]
        lines = {
            way: (x, [row["ways"][way]["milliseconds"] for row in rows]) for way in rows[0]["ways"]
        }
        if "floor_milliseconds" in next(iter(rows[0]["ways"].values())):
            lines["arithmetic floor"] = (
                x,
                [next(iter(row["ways"].values()))["floor_milliseconds"] for row in rows],
            )
        first, last = (row["ratio"]["wall"] for row in (rows[0], rows[-1]))
        title = (
            f"With {label} from {x[0]:,} to {x[-1]:,}, ours is {first:.3g} to {last:.3g} times "
            "as fast as generate()"
        )
        logx = curve in ("batch", "model")
        parts.append(_curves(lines, (label, "milliseconds each"), title, detail, logx))
        flat = [
            {k: v for k, v in row.items() if not isinstance(v, Mapping)}
            | {f"{w}, ms": r["milliseconds"] for w, r in row["ways"].items()}
            | {f"{w}, memory MB": r["memory_mb"] for w, r in row["ways"].items()}
            | {"ratio": row["ratio"]["wall"]}
            for row in rows
        ]
        parts.append(_table(flat))
    parts.append("<h3>One pass of the model</h3>" + _table(section["curves"]["pass"]))
    rows = [r for r in section["curves"]["buffer"] if "left_out" not in r]
    x = [r["transitions"] for r in rows]
    y = [r["milliseconds"] for r in rows]
    title = f"Retrieval from {x[-1]:,} transitions takes {y[-1]:.3g} ms a query"
    labels = ("transitions in the buffer", "milliseconds a query")
    parts.append(_curves({"retrieval": (x, y)}, labels, title, detail))
    parts.append(_table(section["curves"]["buffer"]))
    return parts


_SECTIONS = {
    "dream": _dream,
    "iteration": _iteration,
    "worlds": _worlds,
    "training": _training,
    "growth": _growth,
}
