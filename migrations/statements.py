"""Runs a revision's `.sql` file, which holds many statements, on the migration's own connection."""

from pathlib import Path
from typing import Any

from alembic import op

_VERSIONS = Path(__file__).parent / "versions"


def run_file(name: str) -> None:
    """Execute every statement of `versions/<name>` in the migration's transaction."""
    text = (_VERSIONS / name).read_text(encoding="utf-8")
    driver_connection: Any = op.get_bind().connection
    # SQLAlchemy prepares what it executes, and a prepared statement holds one command only;
    # asyncpg's own execute() takes a script.
    driver_connection.run_async(lambda connection: connection.execute(text))
