"""What Alembic runs: the migrations, on the connection that `metastore.migrate` opened."""

from alembic import context

from metastore.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
