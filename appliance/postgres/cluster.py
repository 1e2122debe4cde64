"""The cluster on disk and its settings: how a managed database is made, and what its server is told."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING

from appliance.home import sync_directory
from appliance.postgres.places import own_directory

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.postgres.binaries import Binaries
    from appliance.postgres.identity import Identity
    from appliance.postgres.places import Places

#: The database, and the role that owns it.
NAME = "gatefold"
_INITDB_SECONDS = 120
_MIB = 1 << 20


class ClusterFailed(Exception):
    """The cluster could not be made or is not one."""


def make_cluster(binaries: Binaries, places: Places, identity: Identity) -> None:
    """Make the cluster with an empty database in it; it appears under its name only when it is whole."""
    part = places.directory / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    own_directory(part, identity)
    initdb = [binaries.initdb, "--pgdata", str(part), "--username", NAME, "--encoding", "UTF8", "--locale", "C"]
    _run_as(identity, places, [*initdb, "--data-checksums", "--auth", "reject", "--no-instructions"])
    single = [binaries.postgres, "--single", "-D", str(part), "-c", "exit_on_error=on", "postgres"]
    _run_as(identity, places, single, f"CREATE DATABASE {NAME}\n")
    part.rename(places.data)
    sync_directory(places.directory)


def cluster_major(data: Path) -> int:
    """Return the major version that made the cluster at *data*; raise ClusterFailed."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise ClusterFailed(f"{data} holds no PostgreSQL cluster: {error}") from error


def write_settings(places: Places) -> None:
    """Write the server's configuration, afresh at each start; what an administrator adds goes into `local.conf`."""
    places.conf.mkdir(mode=0o755, exist_ok=True)
    files = {
        "postgresql.conf": _settings(places),
        "pg_hba.conf": f"local all {NAME} peer map={NAME}\n",
        "pg_ident.conf": f"{NAME} {pwd.getpwuid(os.geteuid()).pw_name} {NAME}\n",
    }
    for name, text in files.items():
        path = places.conf / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    local = places.conf / "local.conf"
    if not local.exists():
        local.write_text("# Settings of this machine; the last word.\n", encoding="utf-8")
        local.chmod(0o644)
    places.conf.chmod(0o755)


def _settings(places: Places) -> str:
    """Return `postgresql.conf`: durable first, then sized for a small machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared_buffers = min(max(memory // 8, 64 * _MIB), 1024 * _MIB)
    values: dict[str, object] = {
        "data_directory": places.data,
        "hba_file": places.conf / "pg_hba.conf",
        "ident_file": places.conf / "pg_ident.conf",
        "listen_addresses": "",
        "unix_socket_directories": places.socket,
        "unix_socket_permissions": "0700",
        "max_connections": 64,
        # What DESIGN 8 rests on; said here so that no default of a distribution can differ.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # Memory: rows are small and every query is a keyed one.
        "shared_buffers": f"{shared_buffers // _MIB}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        # Many small commits: checkpoints far apart and spread out, segments kept for reuse.
        "wal_compression": "on",
        "wal_buffers": "16MB",
        "min_wal_size": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        # What the server's own lock needs anyway; containers have a small /dev/shm, or one that only root may use.
        "dynamic_shared_memory_type": "sysv",
        # Disks of today, short queries: no compiler, no parallel workers.
        "random_page_cost": 1.1,
        "jit": "off",
        "max_parallel_workers_per_gather": 0,
        # Hot rows die young: vacuum often, in small bites.
        "autovacuum_naptime": "15s",
        "autovacuum_vacuum_scale_factor": 0.05,
        "autovacuum_analyze_scale_factor": 0.05,
        # The supervisor reads the log and adds the time.
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "",
        "log_checkpoints": "off",
        "lc_messages": "C",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in values.items()]
    return "\n".join(["# Written by gatefold at each start.", *lines, "include = 'local.conf'", ""])


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{text}'"


def _run_as(identity: Identity, places: Places, argv: list[str], stdin: str = "") -> None:
    """Run one of PostgreSQL's programs as its user; raise ClusterFailed with what it said."""
    user: dict[str, object] = {}
    if os.geteuid() != identity.uid:
        user = {"user": identity.uid, "group": identity.gid, "extra_groups": []}
    try:
        done = subprocess.run(  # type: ignore[call-overload]  # the user's keywords come as a dict  # noqa: S603 - no shell
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=places.directory,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            timeout=_INITDB_SECONDS,
            **user,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ClusterFailed(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise ClusterFailed(f"{argv[0]} failed: {done.stdout.strip()} {done.stderr.strip()}")
