"""The metastore in memory: same rules, no database. For models and tests."""

from metastore.memory.database import MemoryDatabase as MemoryDatabase
from metastore.memory.store import MemoryMetaStore as MemoryMetaStore
