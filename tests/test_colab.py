"""On Colab what is missing is installed, torch and numpy are left, and one line says so."""

import os
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dreamgym_nb.course import colab, links, setup
from dreamgym_nb.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


@pytest.fixture
def session(monkeypatch):
    """A session: what is installed (name -> version); nothing of it is imported.

    Its modules have names of their own, for the process of the tests may have imported any of
    the real ones by now.
    """
    installed = {r.name: "99" for r in colab.requirements()}
    installed |= {"torch": "2.11.0+cpu", "numpy": "2.1.3", "trl": "1.16.2", "pyarrow": "18.1.0"}

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    def distributions():
        return [
            types.SimpleNamespace(metadata={"Name": n}, version=v) for n, v in installed.items()
        ]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "distributions", distributions)
    homes = lambda: {f"session_{name}": [name] for name in installed}  # noqa: E731
    monkeypatch.setattr(metadata, "packages_distributions", homes)
    return installed


def test_a_complete_session_is_left_alone(session):
    def never(lacking):
        raise AssertionError(lacking)

    assert colab.complete(never) == (
        "Colab: all that the course needs is here; nothing was installed."
    )


def test_what_is_missing_or_too_old_is_installed_and_told(session):
    del session["trl"]
    session["datasets"] = "4.0.0"
    asked = []

    def install(lacking):
        asked.extend(lacking)
        session.update({"trl": "1.16.0", "datasets": "4.8.1"})

    line = colab.complete(install)
    assert line.startswith("Colab: installed trl 1.16.0, datasets 4.8.1 in ")
    assert line.endswith("; left torch 2.11.0+cpu and numpy 2.1.3.")
    assert [a.split(">")[0].split("<")[0] for a in asked] == ["trl", "datasets"]


def test_an_old_torch_is_not_replaced_but_named(session):
    session["torch"] = "2.4.0"
    with pytest.raises(UserError, match="too old a version of torch; the course needs torch>="):
        colab.complete(lambda lacking: pytest.fail("nothing may be installed"))


@pytest.mark.parametrize(
    ("name", "imported"), [("numpy", False), ("torch", False), ("pyarrow", True)]
)
def test_what_the_session_uses_must_not_be_replaced(session, monkeypatch, name, imported):
    del session["trl"]
    if imported:
        monkeypatch.setitem(sys.modules, "session_pyarrow", types.ModuleType("session_pyarrow"))
    install = lambda lacking: session.update({"trl": "1.16.0", name: "77"})  # noqa: E731
    with pytest.raises(UserError, match=f"replaced {name}, .* Restart session"):
        colab.complete(install)
    assert colab.complete().endswith("nothing was installed."), "after a restart all is in place"


def test_what_nobody_has_imported_may_be_renewed(session):
    del session["trl"]
    session["nobodys"] = "1"
    line = colab.complete(lambda lacking: session.update({"trl": "1.16.0", "nobodys": "2"}))
    assert line.startswith("Colab: installed trl 1.16.0 in ")


def test_an_installation_that_did_nothing_is_no_success(session):
    del session["trl"]
    with pytest.raises(UserError, match="pip did not install trl: run this cell again"):
        colab.complete(lambda lacking: None)


def test_pip_is_held_to_torch_and_numpy_and_its_failure_is_a_sentence(monkeypatch):
    ran = []

    def run(command, **named):
        held = Path(command[command.index("--constraint") + 1])
        ran.append((command, held.read_text()))
        return types.SimpleNamespace(returncode=1, stderr="Looking\nERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match=r"\(ERROR: no network\)"):
        colab._pip(["trl>=1.16"])
    [(command, held)] = ran
    assert command[-1] == "trl>=1.16" and "--upgrade" not in command
    assert held == "".join(f"{n}=={metadata.version(n)}\n" for n in ("torch", "numpy"))


def test_the_needs_are_those_of_the_package():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    ours = {str(r) for r in colab.requirements()}
    assert ours <= {str(Requirement(line)) for line in listed}
    assert {r.name for r in colab.requirements()} == {Requirement(line).name for line in listed}
    with pytest.raises(UserError, match="delete the folder `lab`"):
        colab.requirements(ROOT / "none.toml")


def test_start_completes_the_session_only_on_colab(monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", {**os.environ, **setup.SWITCHES})
    monkeypatch.setattr(setup, "set_threads", lambda: 1)
    monkeypatch.setattr(colab, "complete", lambda: "Colab: done.")
    monkeypatch.setattr(setup, "_lesson", "")
    setup.start("00_x")
    assert "Colab" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    setup.start("00_x")
    assert capsys.readouterr().out.startswith("Colab: done.\nLesson 00")


# ---- the first cell --------------------------------------------------------------------------

FAKE_COLAB = """
import os, sys, types
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != {root!r}]
if {colab}:
    sys.modules["google.colab"] = types.ModuleType("google.colab")
"""


def first_cell(folder, colab, home, *, path):
    """Run the first cell of a lesson in a Python that has no course; return what it did."""
    cell = links.first_cell("00_dreamgym_in_ten_minutes").replace(links.HOME, str(home))
    code = FAKE_COLAB.format(root=str(ROOT), colab=colab) + cell
    return subprocess.run(
        # -S: without site-packages an installed course is not found
        [sys.executable, "-S", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path, "HOME": str(folder)},
    )


def test_the_first_cell_fetches_the_course_on_colab(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "dreamgym_nb").mkdir(parents=True)
    (home / "dreamgym_nb" / "__init__.py").write_text("")
    (home / "dreamgym_nb" / "course.py").write_text("def start(stem): print('started', stem)")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=home, check=True)
    subprocess.run([*git, "add", "."], cwd=home, check=True)
    subprocess.run([*git, "commit", "-qm", "course"], cwd=home, check=True)
    content = tmp_path / "content"
    content.mkdir()
    for _ in range(2):  # after a restart of the session the folder is there
        done = first_cell(content, True, home.as_uri(), path=os.environ["PATH"])
        assert done.stdout == "started 00_dreamgym_in_ten_minutes\n", done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = first_cell(elsewhere, False, home.as_uri(), path=os.environ["PATH"])
    assert done.returncode == 1 and "No module named 'dreamgym_nb'" in done.stderr
    assert list(elsewhere.iterdir()) == [], "on one's own machine nothing is fetched"
