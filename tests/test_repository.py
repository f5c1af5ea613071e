"""What the files of the repository promise each other: versions, links, commands, sizes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dreamgym_nb import __version__, cli
from dreamgym_nb.course import links

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MOST_LINES = 400

# Folders of somebody's machine, and package indexes. In pieces, or this file would find itself.
_FOLDERS = "|".join(["work", "root", "tmp", "home", "Users", "private"])
_INDEXES = "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org"])
MACHINE = re.compile(rf"(?<![\w.~:/-])/(?:{_FOLDERS})/[\w.-]|{_INDEXES}")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def repository_files():
    """Return the files that are committed or would be, relative to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(name) for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


FILES = repository_files()
PROJECT = tomllib.loads(text("pyproject.toml"))["project"]


def requirements(python, extras=("", "course", "test")):
    """Return what pyproject.toml asks for on Linux with a Python, by canonical name."""
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for e in extras if e for line in optional[e])]
    found = {}
    for requirement in map(Requirement, lines):
        if holds(requirement, python):
            found[canonicalize_name(requirement.name)] = requirement
    return found


def pins(python):
    """Return the versions of requirements.lock on Linux with a Python, by canonical name."""
    found = {}
    for line in text("requirements.lock").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if holds(requirement, python):
                (pin,) = requirement.specifier
                assert pin.operator == "==", line
                assert canonicalize_name(requirement.name) not in found, f"two pins: {line}"
                found[canonicalize_name(requirement.name)] = pin.version
    return found


def holds(requirement, python):
    """Tell whether a requirement is for Linux with this Python."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_satisfies_the_floors(python):
    locked = pins(python)
    for name, requirement in requirements(python).items():
        assert name in locked, f"{name} is missing: run make lock"
        assert requirement.specifier.contains(locked[name]), f"{requirement} but {locked[name]}"


def test_the_lock_is_for_processors_and_names_no_place():
    lines = text("requirements.lock").splitlines()
    assert "make lock" in "".join(lines[:4])
    names = {re.split("[=; ]", line)[0] for line in lines if not line.startswith("#")}
    assert not [n for n in names if re.match("nvidia|cuda|triton", n)]
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    assert "torch==2.13.0" in lines, "the same torch for every Python"
    assert "TORCH := torch==2.13.0\n" in text("Makefile")


def test_the_supported_pythons_are_the_same_everywhere():
    assert PROJECT["requires-python"] == ">=3.10,<3.14"
    makefile = text("Makefile")
    assert makefile.count("(3, 10) <= sys.version_info < (3, 14)") == 2
    matrix = re.search(r"python: \[(.*)\]", text(".github/workflows/ci.yml"))[1]
    assert tuple(re.findall(r'"([\d.]+)"', matrix)) == PYTHONS
    assert f"--python-version {PYTHONS[0]}" in makefile, "the lock starts at the oldest one"
    assert "3.10 to 3.13" in text("README.md")


def test_the_conda_environment_keeps_the_floors():
    content = text("environment.yml")
    assert text("binder/environment.yml") == content, "Binder reads only its own folder"
    lines = re.findall(r"^ +- ([\w.-]+[<>=][^\s]*)$", content, flags=re.MULTILINE)
    found = [Requirement(line) for line in lines if not line.startswith("python=")]
    conda = {canonicalize_name(requirement.name): requirement for requirement in found}
    conda["torch"] = Requirement(f"torch{conda.pop('pytorch-cpu').specifier}")
    wanted = requirements("3.12", extras=("", "course"))
    assert {n: str(r.specifier) for n, r in conda.items()} == {
        n: str(r.specifier) for n, r in wanted.items()
    }


BADGE = re.compile(r"https://(?:mybinder\.org/v2|colab\.research\.google\.com/github)/[^\s\"\\)]+")


def test_links_name_the_one_place_where_the_project_lives():
    home = f"https://github.com/{links.SLUG}"
    assert PROJECT["urls"]["Repository"] == home
    assert all(url.startswith(home) for url in PROJECT["urls"].values())


def test_badges_open_the_lessons_of_this_repository():
    lessons = re.findall(r"\((notebooks/\w+\.ipynb)\)", text("README.md"))
    made = {url(lesson) for lesson in lessons for url in (links.binder_url, links.colab_url)}
    badges = {
        path: set(BADGE.findall(text(path))) for path in FILES if path.suffix in (".md", ".ipynb")
    }
    assert links.colab_url(lessons[0]) in badges[Path("README.md")]
    assert links.binder_url(lessons[0]) in badges[Path("README.md")]
    for path, urls in badges.items():
        assert urls <= made, f"{path} has badges that lead elsewhere"


def test_every_command_in_the_texts_exists():
    targets = set(re.findall(r"^([a-z]+):.*##", text("Makefile"), flags=re.MULTILINE))
    assert {
        "help",
        "setup",
        "course",
        "frugal",
        "site",
        "warm",
        "doors",
        "test",
        "lab",
        "results",
        "lock",
        "format",
        "clean",
    } == targets
    for name in ("README.md", "CONTRIBUTING.md"):
        used = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(code_of(text(name)))))
        assert used and used <= targets, f"{name}: {used - targets}"
    assert {"course", "test", "lab"} <= set(re.findall(r"make ([a-z]+)", text("README.md")))


def code_of(markdown):
    """Return the code of a Markdown text: fenced blocks and spans between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", rest)


def test_every_dreamgym_command_in_the_readme_is_understood():
    commands = re.findall(r"^dreamgym (.+?)(?: +#.*)?$", text("README.md"), flags=re.MULTILINE)
    assert {command.split()[0] for command in commands} == {
        "doctor", "run", "play", "results", "backbone", "bench", "warm", "export", "collect",
        "site", "check", "serve",
    }  # fmt: skip
    for command in commands:
        # These have parsers of their own.
        if command.split()[0] not in ("results", "backbone", "bench"):
            cli._parser().parse_args(command.split())


def test_continuous_integration_runs_the_readmes_test_command():
    script = text(".ci/run")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert script.rstrip().endswith("\nmake test")
    assert "bash .ci/run" in text(".github/workflows/ci.yml")
    assert "make test" in text("README.md")


def test_no_file_names_a_machine():
    for path in FILES:
        if path.suffix not in (".png", ".safetensors", ".gz", ".npz"):
            for number, line in enumerate(text(path).splitlines(), start=1):
                found = MACHINE.search(line)
                assert not found, f"{path}:{number} names {found[0]!r}"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ('open("/' + 'tmp/x")', True),
        ("--index-url https://pypi." + "org/simple", True),
        ("/" + "home/me/data", True),
        ("https://github.com/a/" + "tmp/b", False),
        ("../shared/data and a/" + "work/b", False),
    ],
)
def test_the_search_for_machines_sees_them(line, seen):
    assert bool(MACHINE.search(line)) == seen


def test_modules_stay_short():
    long = {
        str(path): lines
        for path in FILES
        if path.suffix == ".py" and path.parts[0] == "dreamgym_nb"
        if (lines := len(text(path).splitlines())) >= MOST_LINES
    }
    assert long == {}, f"split what has {MOST_LINES} lines or more"


def test_every_test_file_is_collected():
    helpers = {"__init__.py", "conftest.py", "walks.py", "web_walks.py", "toy.py"}
    helpers |= {"lab.py", "lab_touch.py"}
    names = [p.name for p in FILES if p.parts[0] == "tests" and p.suffix == ".py"]
    names = [n for n in names if n not in helpers and not n.endswith("_by_hand.py")]
    assert [n for n in names if not n.startswith("test_")] == []


def test_the_readme_has_a_place_for_recorded_results():
    readme = text("README.md")
    begin, end = "<!-- results:first_light:begin -->", "<!-- results:first_light:end -->"
    assert readme.count(begin) == readme.count(end) == 1
    assert readme.index(begin) < readme.index(end)


def test_importing_the_package_is_light():
    heavy = ("numpy", "torch", "gymnasium", "matplotlib")
    code = f"import sys, dreamgym_nb; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


@pytest.mark.skipif(os.name != "posix", reason="make and shell scripts are for Linux and macOS")
def test_a_machine_without_a_fitting_python_gets_a_sentence(tmp_path):
    (tmp_path / "Makefile").write_text(text("Makefile"), encoding="utf-8")
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    fakes = tmp_path / "bin"
    fakes.mkdir()
    for name in ("python", "python3", *(f"python{v}" for v in PYTHONS)):
        (fakes / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (fakes / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{fakes}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("MAKEFLAGS", None)  # these tests run under make themselves
    done = subprocess.run(
        ["make", "setup"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "dreamgym_nb needs Python 3.10, 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / ".venv").exists()

    named = subprocess.run(
        ["make", "setup", f"PYTHON={fakes / 'python3'}"],
        cwd=tmp_path,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert named.returncode != 0 and "name another one" in named.stderr
    assert not (tmp_path / ".venv").exists()
