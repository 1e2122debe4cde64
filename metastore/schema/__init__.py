"""The tables of the metastore in PostgreSQL, as SQLAlchemy Core: the one place that says what a column means.

Alembic brings a database to this form (`migrations/`); a test holds both equal. Conventions for every column:

- `vol` is the volume's number and the first column of every per-volume primary key, so that a volume can be moved,
  dropped or distributed as a whole. There are no foreign keys: a batch is a finished fact, and `gatefold check`
  looks for what a foreign key would have refused.
- Times are integer ns since 1970 (0 = never), sizes and offsets are bytes, numbers are at least 1 (0 = none).
- Names are `bytea`, which PostgreSQL compares byte by byte: never LIKE, never a locale.
- "By batch" says that the group commit alone writes the column, under the fence; the namespace keeps it true in
  memory by putting the whole row.
"""

from metastore.schema.bodies import blob as blob
from metastore.schema.bodies import blob_range as blob_range
from metastore.schema.bodies import extent as extent
from metastore.schema.bodies import part as part
from metastore.schema.bodies import reclaim as reclaim
from metastore.schema.bodies import upload as upload
from metastore.schema.columns import metadata as metadata
from metastore.schema.events import journal as journal
from metastore.schema.events import nlm_lock as nlm_lock
from metastore.schema.house import access_key as access_key
from metastore.schema.house import account as account
from metastore.schema.house import export as export
from metastore.schema.house import node as node
from metastore.schema.house import partition as partition
from metastore.schema.house import ring as ring
from metastore.schema.tree import edge as edge
from metastore.schema.tree import inode as inode
from metastore.schema.tree import object_meta as object_meta
from metastore.schema.tree import version as version
from metastore.schema.volumes import batch as batch
from metastore.schema.volumes import gateway as gateway
from metastore.schema.volumes import reply_cache as reply_cache
from metastore.schema.volumes import volume as volume

#: The version of everything below; migration `NNNN` brings a database to version N.
SCHEMA = 3
