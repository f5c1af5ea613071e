"""Where the lessons open with one click, and how they begin there."""

from urllib.parse import quote

SLUG = "dreamgym-nb/dreamgym_nb"
"""Organisation and repository, as in `[project.urls]` of pyproject.toml."""

HOME = f"https://github.com/{SLUG}"
"""The repository's page, from which Colab fetches the course."""

REF = "main"
"""The branch that the badges open."""

_SHIELDS = "https://img.shields.io/badge"


def binder_url(path: str) -> str:
    """Return the link that opens a file of the repository in JupyterLab on Binder.

    Args:
        path: Path inside the repository, for example `notebooks/00_name.ipynb`.
    """
    return f"https://mybinder.org/v2/gh/{SLUG}/{REF}?urlpath=lab/tree/{quote(path)}"


def colab_url(path: str) -> str:
    """Return the link that opens a notebook of the repository in Colab.

    Args:
        path: Path inside the repository, for example `notebooks/00_name.ipynb`.
    """
    return f"https://colab.research.google.com/github/{SLUG}/blob/{REF}/{quote(path)}"


def page_url(path: str) -> str:
    """Return the link to a file of the repository on its page.

    Args:
        path: Path inside the repository.
    """
    return f"{HOME}/blob/{REF}/{quote(path)}"


def badges(path: str) -> tuple[str, str]:
    """Return the badges of a notebook as Markdown: Colab's and Binder's.

    Args:
        path: Path inside the repository, for example `notebooks/00_name.ipynb`.
    """
    colab = f"[![Open in Colab]({_SHIELDS}/open%20in-Colab-F9AB00)]({colab_url(path)})"
    binder = f"[![Launch Binder]({_SHIELDS}/launch-Binder-579ACA)]({binder_url(path)})"
    return colab, binder


def first_cell(stem: str) -> str:
    """Return the first code cell of a lesson.

    Where the course is installed it imports it. Colab brings the notebook alone: there the cell
    fetches the repository, recorded runs and all, and `course.start` does the rest (`colab.py`).

    Args:
        stem: The notebook's name without `.ipynb`.
    """
    return f"""\
try:
    from dreamgym_nb import course
except ImportError:  # Colab brings this notebook alone: fetch the rest
    import os
    import sys

    if "google.colab" not in sys.modules:
        raise  # not Colab: the README says how to set up the course
    home = "{HOME}"
    os.system(f"git clone -q --depth=1 {{home}} lab")
    sys.path.insert(0, os.path.abspath("lab"))
    from dreamgym_nb import course

course.start("{stem}")"""
