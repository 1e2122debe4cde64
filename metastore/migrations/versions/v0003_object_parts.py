"""Version 3: objects remember the parts that they were uploaded in."""

from alembic import op

revision = "0003"
down_revision = "0002"

_STEPS = """
ALTER TABLE object_meta ADD COLUMN parts JSON NOT NULL DEFAULT '{}';
ALTER TABLE object_meta ALTER COLUMN parts DROP DEFAULT;
"""


def upgrade() -> None:
    """Add the column; of what is there no parts are known."""
    op.get_bind().exec_driver_sql(_STEPS)
