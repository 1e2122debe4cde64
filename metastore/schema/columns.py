"""What every table of the schema is built from."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, PrimaryKeyConstraint

metadata = MetaData()


def number(name: str) -> Column[int]:
    """Describe a 64-bit number, time or size."""
    return Column(name, BigInteger, nullable=False)


def key(*names: str) -> PrimaryKeyConstraint:
    """Describe the primary key."""
    return PrimaryKeyConstraint(*names)
