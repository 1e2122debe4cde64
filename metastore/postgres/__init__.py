"""The metastore over PostgreSQL."""

from metastore.postgres.connector import Outdated as Outdated
from metastore.postgres.connector import Unfit as Unfit
from metastore.postgres.session import ConnectionLost as ConnectionLost
from metastore.postgres.store import PgMetaStore as PgMetaStore
