"""Instruments with history and tombstones, API keys, and the index's lease, generations and jobs."""

from migrations.statements import run_file

revision = "0001_instruments"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0001_instruments.up.sql")


def downgrade() -> None:
    run_file("0001_instruments.down.sql")
