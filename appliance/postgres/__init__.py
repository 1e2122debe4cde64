"""A PostgreSQL server of our own: found or unpacked, made, started and stopped, and never run as root."""
