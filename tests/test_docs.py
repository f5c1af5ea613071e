"""The texts beside the lessons keep their promises: links, names, messages, commands, minutes."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from dreamgym_nb import cli
from dreamgym_nb.course import lint
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.syllabus import SYLLABUS, available
from dreamgym_nb.experiments import command
from dreamgym_nb.experiments.grid import TABLES
from dreamgym_nb.results import EXPERIMENTS

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def text(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_and_pictures_lead_somewhere(path):
    told = FENCE.sub("", path.read_text(encoding="utf-8"))
    for alt, target in re.findall(r"\[([^\]]*)\]\((?!https?:)([^)\s]+)\)", told):
        file, _, anchor = target.partition("#")
        aim = path.parent / file if file else path
        assert aim.exists(), f"{path.name}: [{alt}]({target})"
        assert not anchor or anchor in lint.anchors(aim), f"{path.name}: {target}"
    assert not re.search(r"!\[\s*\]", told), "a picture needs alternative text"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_commands_exist(path):
    told = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, flags=re.MULTILINE))
    code = FENCE.findall(told) + re.findall(r"`([^`\n]+)`", told)
    for line in "\n".join(code).splitlines():
        line = re.sub(r"\s+#.*", "", line.strip()).removeprefix(".venv/bin/")
        if line.startswith("make "):
            assert line.split()[1] in targets, line
        if re.match(r"dreamgym results [a-z]", line):
            words = shlex.split(line)[2:]
            if words[0] not in EXPERIMENTS:
                options = command.parser().parse_args(words)
                assert set(options.tables) <= {*TABLES, command.REPORT, "NAME"}, line
        elif re.match(r"dreamgym [a-z]", line):
            words = shlex.split(line)[1:]
            if words[0] not in ("backbone", "bench"):
                cli._parser().parse_args(_whole(words))


def _whole(words):
    """A command that is only named, with what it cannot do without."""
    needed = {"export": ["--student", "x"], "collect": ["x"], "play": ["shop"]}
    if words[0] == "run" and not any(word.endswith(".ipynb") for word in words):
        return [*words, "x.ipynb"]
    return words + needed.get(words[0], []) if len(words) == 1 else words


def test_the_loop_of_the_readme_calls_what_there_is(monkeypatch):
    from unittest.mock import create_autospec

    from dreamgym_nb import loop

    told = (ROOT / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    calls = ("prepare", "dream_rl", "real_rl", "evaluate")
    for name in calls:  # with its signature, but without the hours
        monkeypatch.setattr(loop, name, create_autospec(getattr(loop, name)))
    exec(code, {})
    assert all(getattr(loop, name).call_count == 1 for name in calls)
    assert hasattr(loop.Prepared, "realities") and "agent" in loop.Prepared.__annotations__


# ---- notation and glossary -------------------------------------------------------------------


def find(name):
    """Tell whether a dotted name of the package exists; fields of dataclasses count."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(["dreamgym_nb", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            held = re.search(rf"^ +{part}: ", found.__doc__ or "", re.MULTILINE)
            if hasattr(found, part):
                found = getattr(found, part)
            elif not held and part not in getattr(found, "__annotations__", {}):
                return False
        return True
    return False


def test_every_name_of_the_notation_is_in_the_code():
    names = re.findall(r"\| `([\w.]+)` \|$", text("notation"), re.MULTILINE)
    assert len(names) > 30
    assert [name for name in names if not find(name)] == []
    assert not find("ppo.PPOSettings.nothing") and not find("nowhere.Thing")


def test_a_symbol_has_one_meaning():
    symbols = re.findall(r"^\| (\$[^|]+?) \|", text("notation"), re.MULTILINE)
    assert len(symbols) > 40 and len(symbols) == len(set(symbols)), (
        "λ is named with the place it belongs to"
    )


def test_the_glossary_is_in_order_and_names_each_word_once():
    words = re.findall(r"^\*\*(.+?)\*\*", text("glossary"), re.MULTILINE)
    assert len(words) > 60
    assert words == sorted(words, key=lambda w: re.sub(r"\W", "", w.lower()))
    assert len(set(words)) == len(words)
    lessons = {m for group in re.findall(r"\(((?:\d\d(?:, )?)+)\)", text("glossary"))
               for m in group.split(", ")}  # fmt: skip
    assert lessons <= {entry.number for entry in SYLLABUS}


# ---- when it goes wrong ----------------------------------------------------------------------


def sentences_of_the_package():
    """Every text that the code can print, with … where a value stands."""
    found = []
    for path in [*(ROOT / "dreamgym_nb").rglob("*.py"), ROOT / "Makefile"]:
        source = path.read_text(encoding="utf-8")
        if path.suffix != ".py":
            found.append(re.sub(r'" \\\n\s*"', " ", source))
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                found.append("".join(parts))
    return found


def test_every_message_of_ours_is_one_that_the_course_prints():
    ours = text("troubleshooting").split("## Messages of the course")[1]
    ours = ours.split("## Messages of the libraries")[0]
    quoted = [" ".join(block.split()) for block in FENCE.findall(ours)]
    assert len(quoted) > 20
    known = [" ".join(s.split()) for s in sentences_of_the_package()]
    for message in quoted:
        pattern = ".*".join(re.escape(part.strip()) for part in message.split("…") if part.strip())
        assert any(re.search(pattern, s) for s in known), f"nothing prints: {message}"


def test_each_message_is_followed_or_led_by_what_to_do():
    for part in re.split(r"^### ", text("troubleshooting"), flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        words = re.findall(r"\w+", FENCE.sub("", rest))
        messages = "".join(FENCE.findall(rest))
        says_itself = re.search(
            r"\b(collect|choose|set it|run it|name|multiple|needs|has)\b", messages
        )
        assert len(words) >= 8 or says_itself, heading


# ---- self-test and teaching ------------------------------------------------------------------


def test_the_self_test_asks_about_every_lesson_and_not_what_the_lesson_asks():
    told = text("self_test")
    parts = dict(re.findall(r"^## (\d\d .+?)$(.*?)(?=^## |\Z)", told, re.MULTILINE | re.DOTALL))
    assert list(parts) == [f"{e.number} {e.question}" for e in available(ROOT)]
    for heading, part in parts.items():
        assert len(re.findall(r"<summary>.+?\?</summary>", part)) >= 4, heading
    assert (
        told.count("<details><summary>") == told.count("</summary>\n\n") == told.count("</details>")
    )
    asked = {" ".join(q.split()) for q in re.findall(r"<summary>(.+?)</summary>", told, re.DOTALL)}
    for entry in available(ROOT):
        cells = nb.read(ROOT / entry.path).cells
        theirs = re.findall(r"<summary>\d\. (.+?)</summary>", cells[-1].source, re.DOTALL)
        same = asked & {" ".join(q.split()) for q in theirs}
        assert len(same) <= 2, f"{entry.stem} asks the same: {same}"


def test_the_routes_fill_their_time():
    told = text("teaching")
    routes = re.findall(r"^### (\d+) minutes.*?$(.*?)(?=^### )", told, re.MULTILINE | re.DOTALL)
    assert [int(minutes) for minutes, _ in routes] == [45, 90, 180]
    for minutes, table in routes:
        spans = [tuple(map(int, s)) for s in re.findall(r"^\| (\d+)–(\d+) \|", table, re.MULTILINE)]
        assert spans[0][0] == 0 and spans[-1][1] == int(minutes)
        assert all(a[1] == b[0] and a[0] < a[1] for a, b in zip(spans, spans[1:], strict=False))


def test_every_lesson_has_a_word_for_the_teacher():
    told = text("teaching").split("## What to say where")[1].split("## Likely questions")[0]
    numbers = re.findall(r"^\*\*(\d\d)\.\*\*", told, re.MULTILINE)
    assert numbers == [e.number for e in available(ROOT)]
