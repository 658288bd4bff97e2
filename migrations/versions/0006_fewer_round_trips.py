"""Functions that spare writes of profiles a round trip each."""

from migrations.statements import run_file

revision = "0006_fewer_round_trips"
down_revision = "0005_finding"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0006_fewer_round_trips.up.sql")


def downgrade() -> None:
    run_file("0006_fewer_round_trips.down.sql")
