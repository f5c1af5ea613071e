"""The doctor finds each thing that is missing and says what to do about it."""

import importlib.util
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from dreamgym_nb import cli
from dreamgym_nb.course import doctor, ledger

ROOT = Path(__file__).parents[1]

REQUIRES = [
    "torch>=2.9",
    "numpy>=2.0",
    "trl<1.17,>=1.16; python_version >= '3.11'",
    "trl<1.15,>=1.14.2; python_version < '3.11'",
    "papermill>=2.6; extra == 'course'",
    "ruff>=0.12; extra == 'test'",
    "dreamgym-nb[course,test]; extra == 'all'",
]
HEALTHY = {
    "dreamgym_nb": "0.1.0",
    "torch": "2.13.0+cpu",
    "numpy": "2.4.6",
    "trl": "1.16.0" if sys.version_info >= (3, 11) else "1.14.2",
    "papermill": "2.7.0",
}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine on which all is well; a test takes one thing away."""
    installed = dict(HEALTHY)

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    def requires(name):
        version(name)
        return REQUIRES

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", requires)
    monkeypatch.setattr(doctor, "available_memory", lambda: 8e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 9e9))
    monkeypatch.setenv("DREAMGYM_DATA", str(tmp_path))
    return installed


def one(name):
    """Return the only check of this name."""
    (check,) = [c for c in doctor.check() if c.name == name]
    return check


def test_a_healthy_machine_is_ready(machine, capsys):
    checks = doctor.check()
    assert doctor.is_ready(checks)
    names = [c.name for c in checks]
    assert names[:6] == ["Python", "dreamgym_nb", "torch", "numpy", "trl", "papermill"]
    assert "ruff" not in names, "developers' tools are not needed to take the course"
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("Ready for the course.\n")


@pytest.mark.parametrize(
    ("name", "version", "action"),
    [
        ("torch", None, "Install it: pip install 'torch>=2.9'."),
        ("torch", "2.8.0", "The course needs >=2.9: pip install 'torch>=2.9'."),
        ("trl", "1.17.0", "The course needs "),
        ("papermill", None, "Install it: pip install 'papermill>=2.6'."),
        ("dreamgym_nb", None, "Install it into this environment: make setup"),
    ],
)
def test_a_missing_or_old_package_is_named_with_its_cure(machine, capsys, name, version, action):
    del machine[name]
    if version:
        machine[name] = version
    check = one(name)
    assert check.status == doctor.MISSING and check.action.startswith(action)
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith(f"Not ready: {name}.\n")


def test_a_prerelease_of_a_newer_version_will_do(machine):
    machine["torch"] = "2.14.0.dev20261101"
    assert one("torch").status == doctor.OK


def test_too_little_memory_or_disk_is_missing(machine, monkeypatch):
    monkeypatch.setattr(doctor, "available_memory", lambda: 1.4e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 1e8))
    assert one("memory").status == one("disk").status == doctor.MISSING
    assert one("memory").found == "1.4 GB free"


def test_what_lessons_have_kept_is_told(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    before = one("kept trainings")
    assert before.status == doctor.OPTIONAL and before.action.endswith("dreamgym warm.")
    for name in ("agent-start-1", "experience-model-2", ".draft"):
        (tmp_path / "course" / name).mkdir(parents=True)
    assert one("kept trainings") == doctor.Check("kept trainings", f"2 in {tmp_path / 'course'}")


def test_the_largest_lesson_fits_where_memory_is_ok(machine, monkeypatch):
    peaks = [c["lesson"]["peak_mb"] for c in ledger.read(ROOT / ledger.RECORDS).values()]
    assert max(peaks) * 1e6 <= doctor.MEMORY_BYTES
    monkeypatch.setattr(doctor, "available_memory", lambda: max(peaks) * 1e6)
    assert one("memory").status == doctor.MISSING, "a lesson's peak alone is not enough to spare"


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ((3, 9, 18), "missing"),
        ((3, 10, 0), "ok"),
        ((3, 13, 9), "ok"),
        ((3, 14, 0), "missing"),
    ],
)
def test_python_must_be_one_that_the_course_knows(machine, monkeypatch, version, status):
    monkeypatch.setattr(sys, "version_info", version)
    check = doctor._python()
    assert check.status == status and check.found == ".".join(map(str, version))


def test_without_a_kernel_no_notebook_runs(machine, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ipykernel" else find(name)
    )
    assert one("notebook kernel").status == doctor.MISSING


def test_extras_are_optional_and_explained(machine, monkeypatch):
    monkeypatch.setenv("DREAMGYM_DATA", os.path.join(os.sep, "no", "such", "folder"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for name in ("DREAMGYM_DATA", "Chromium"):
        assert one(name).status == doctor.OPTIONAL and one(name).action.startswith("Only ")
    assert "no folder" in one("DREAMGYM_DATA").found
    assert doctor.is_ready(doctor.check())


def test_the_real_requirements_are_all_checked():
    """Here the package is installed for real: each floor of pyproject.toml has its line."""
    names = {c.name for c in doctor.check()}
    assert {"torch", "transformers", "trl", "gymnasium", "papermill", "jupyterlab"} <= names
