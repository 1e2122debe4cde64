"""Version 2: drafts of contents, uploads that have ended, gateways that tell where they are and that they live."""

from alembic import op

revision = "0002"
down_revision = "0001"

_STEPS = """
ALTER TABLE reclaim ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE reclaim ALTER COLUMN epoch DROP DEFAULT;

ALTER TABLE upload ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upload ALTER COLUMN ended DROP DEFAULT;
CREATE INDEX upload_ended ON upload (vol, upload_id) WHERE ended <> 0;

CREATE INDEX edge_unlisted ON edge (vol, parent, skey) WHERE NOT listed AND NOT ghost;

ALTER TABLE gateway ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE gateway ALTER COLUMN address DROP DEFAULT;
ALTER TABLE gateway ADD COLUMN beat BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gateway ALTER COLUMN beat DROP DEFAULT;
"""


def upgrade() -> None:
    """Add the columns; what is there keeps its meaning."""
    op.get_bind().exec_driver_sql(_STEPS)
