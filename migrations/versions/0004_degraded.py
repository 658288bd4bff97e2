"""While a server is away: searches in Postgres, and which Postgres it is; years that clients can read."""

from migrations.statements import run_file

revision = "0004_degraded"
down_revision = "0003_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0004_degraded.up.sql")


def downgrade() -> None:
    run_file("0004_degraded.down.sql")
