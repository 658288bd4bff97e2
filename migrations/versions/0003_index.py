"""Generations and jobs of the index: of which schema, how far, cancelled, and what was checked."""

from migrations.statements import run_file

revision = "0003_index"
down_revision = "0002_profiles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0003_index.up.sql")


def downgrade() -> None:
    run_file("0003_index.down.sql")
