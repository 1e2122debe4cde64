"""Version 2: drafts of contents, uploads that have ended, gateways that tell where they are, history of names."""

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

ALTER TABLE inode ADD COLUMN history BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inode ALTER COLUMN history DROP DEFAULT;
UPDATE inode i SET history = h.n FROM (
    SELECT vol, parent, count(*) AS n
    FROM (SELECT vol, parent FROM version UNION ALL SELECT vol, parent FROM edge WHERE ghost) each
    GROUP BY vol, parent) h
WHERE i.vol = h.vol AND i.ino = h.parent;
CREATE INDEX edge_ghost ON edge (vol, parent, skey) WHERE ghost;
ALTER TABLE version DROP CONSTRAINT version_id;
CREATE UNIQUE INDEX version_null ON version (vol, parent, skey) WHERE version_id = 'null'::bytea;
CREATE INDEX version_ino ON version (vol, ino) WHERE ino <> 0;
"""

_FUNCTIONS = """
-- As before, but history below the root keeps a volume too.
CREATE OR REPLACE FUNCTION gatefold_drop_volume(me bigint, dropped bigint, held_epoch bigint, now_ns bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM volume v WHERE v.vol = dropped AND v.epoch = held_epoch AND v.holder = me FOR UPDATE;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT 1 FROM volume v WHERE v.vol = dropped) THEN
            RETURN;  -- dropped before, by an attempt whose answer was lost
        END IF;
        RAISE EXCEPTION 'gateway % does not hold volume % at epoch %', me, dropped, held_epoch USING ERRCODE = 'GF001';
    END IF;
    IF EXISTS (SELECT 1 FROM edge e WHERE e.vol = dropped AND e.parent = 1)
       OR EXISTS (SELECT 1 FROM version v WHERE v.vol = dropped AND v.parent = 1) THEN
        RAISE EXCEPTION 'volume % is not empty', dropped USING ERRCODE = 'GF003';
    END IF;
    DELETE FROM edge WHERE vol = dropped;
    DELETE FROM inode WHERE vol = dropped;
    DELETE FROM object_meta WHERE vol = dropped;
    DELETE FROM version WHERE vol = dropped;
    DELETE FROM extent WHERE vol = dropped;
    DELETE FROM reclaim WHERE vol = dropped;
    DELETE FROM part WHERE vol = dropped;
    DELETE FROM upload WHERE vol = dropped;
    DELETE FROM nlm_lock WHERE vol = dropped;
    DELETE FROM journal WHERE vol = dropped;
    DELETE FROM reply_cache WHERE vol = dropped;
    DELETE FROM batch WHERE vol = dropped;
    UPDATE blob SET refs = 0, doomed = now_ns WHERE vol = dropped AND doomed = 0;
    DELETE FROM volume WHERE vol = dropped;
END
$$;
"""


def upgrade() -> None:
    """Add the columns; what is there keeps its meaning."""
    connection = op.get_bind()
    connection.exec_driver_sql(_STEPS)
    connection.exec_driver_sql(_FUNCTIONS.replace("%", "%%"))
