"""The migrations that a release comes with, and which of them a database has."""

import asyncio
from typing import Final

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app.domain.errors import PostgresUnavailable
from app.release.folder import digest_of, pretty
from app.release.pieces import Found, Missing, NotDue, Piece, State, Verdict
from app.release.source import Source
from app.store.migrate import current_revision
from app.times import utc_text

MIGRATIONS_FILE: Final = "migrations.json"
DATABASE_FILE: Final = "migrations_of_database.json"
DATABASE: Final = "migrations of the database"
FOLDER: Final = "migrations"


def gather_migrations(source: Source) -> Found:
    """Those of the source. Raises Missing."""
    folder = source.root / FOLDER
    try:
        revisions = list(ScriptDirectory(str(folder)).walk_revisions())
    except CommandError as error:
        raise Missing(f"{folder}: {error}") from error
    document = {
        "head": revisions[0].revision,
        "migrations": [
            {
                "revision": one.revision,
                "after": one.down_revision,
                "says": one.doc,
                "files": {
                    file.name: digest_of(file.read_bytes())
                    for file in sorted((folder / "versions").glob(f"{one.revision}.*"))
                },
            }
            for one in reversed(revisions)
        ],
    }
    return Found(
        {MIGRATIONS_FILE: pretty(document)},
        source.commit,
        source.committed_at,
        finding=f"{len(revisions)} migrations, to {document['head']}",
    )


def database_piece(source: Source, database_url: str | None, *, is_before: bool) -> Piece:
    """Whether the database has all of them; before a rollout it need not. Raises NotDue without a URL."""
    if database_url is None:
        raise NotDue("REGISTRY_DATABASE_URL is not set")
    head = ScriptDirectory(str(source.root / FOLDER)).get_current_head()
    try:
        revision = asyncio.run(current_revision(database_url))
    except PostgresUnavailable as error:
        raise Missing(str(error)) from error
    is_head = revision == head
    made_at = utc_text()
    document = {"revision": revision, "head": head, "is_head": is_head, "made_at": made_at}
    verdict: Verdict | None = "passed" if is_head else None if is_before else "failed"
    return Piece(
        DATABASE,
        "rollout",
        State.CURRENT,
        None,
        verdict,
        f"the database is at {revision or 'none'}, the source at {head}",
        source.commit,
        made_at,
        {DATABASE_FILE: pretty(document)},
    )
