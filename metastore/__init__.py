"""The room of names, attributes and body maps, kept in PostgreSQL."""
