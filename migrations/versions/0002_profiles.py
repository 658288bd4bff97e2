"""Profiles with members, events and watches; idempotency records; more on API keys and history."""

from migrations.statements import run_file

revision = "0002_profiles"
down_revision = "0001_instruments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0002_profiles.up.sql")


def downgrade() -> None:
    run_file("0002_profiles.down.sql")
