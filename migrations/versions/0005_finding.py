"""Names and symbols that instruments had at other times, delistings that lie ahead, pins for a query."""

from migrations.statements import run_file

revision = "0005_finding"
down_revision = "0004_degraded"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0005_finding.up.sql")


def downgrade() -> None:
    run_file("0005_finding.down.sql")
