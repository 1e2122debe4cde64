"""Alembic migrations; `metastore.migrate` runs them."""
