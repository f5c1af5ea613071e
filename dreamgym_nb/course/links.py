"""Where the lessons open with one click."""

from urllib.parse import quote

SLUG = "dreamgym-nb/dreamgym_nb"
"""Organisation and repository, as in `[project.urls]` of pyproject.toml."""

REF = "main"
"""The branch that the badges open."""


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
