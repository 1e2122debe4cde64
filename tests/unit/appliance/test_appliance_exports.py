"""Exports of the configuration, and those that an older installation has in its database."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hall import run

from appliance.choices import PRIVATE_NETWORKS, Choices, complete, new_config
from appliance.config import Config, ConfigError, DatabaseConfig, ExportConfig, read, render
from appliance.home import Home
from appliance.identities import read_rules
from appliance.tasks import reload_exports
from foundation.clock import ManualClock
from metastore.memory import MemoryDatabase, MemoryMetaStore
from metastore.records import Export as Row
from protocols.nfs.exports import Export

if TYPE_CHECKING:
    from pathlib import Path

CHOICES = Choices(s3_port=25000, nfs_port=25001, mount_port=25002, portmap=False, node_port=25010, squash="root")
NETWORKS = ("10.0.0.0/8", "2001:db8::/32")


def example(*exports: ExportConfig) -> Config:
    config = new_config(complete(CHOICES), DatabaseConfig(managed=False), "0a31f2b4-0000-4000-8000-123456789abc")
    return replace(config, exports=exports) if exports else config


def test_a_new_installation_exports_all_buckets_those_to_come_too() -> None:
    assert example().exports == (ExportConfig("/", PRIVATE_NETWORKS, squash="root"),)


def test_exports_are_rendered_and_read_as_the_same() -> None:
    config = example(
        ExportConfig("/", NETWORKS, make_buckets=True),
        ExportConfig("/bucket", (), read_only=True, squash="all", anon_uid=0, anon_gid=2**32 - 1, secure=True),
        ExportConfig('/bucket/d"ir/ä', NETWORKS, squash="none", id=65535),
    )
    assert read(render(config)) == config


def test_what_an_export_does_not_say_is_the_safe_thing() -> None:
    config = read(render(example()).partition("[[exports]]")[0] + '[[exports]]\npath = "/b"\nclients = []\n')
    assert config.exports == (ExportConfig("/b", ()),)
    assert (config.exports[0].squash, config.exports[0].make_buckets, config.exports[0].anon_uid) == (
        "root",
        False,
        65534,
    )


@pytest.mark.parametrize(
    ("export", "message"),
    [
        (ExportConfig("bucket", NETWORKS), "path: wanted"),
        (ExportConfig("/bucket/../other", NETWORKS), "path: wanted"),
        (ExportConfig("/bucket", ("10.0.0.0/33",)), "clients: '10.0.0.0/33'"),
        (ExportConfig("/bucket", ("host.example",)), "clients: 'host.example'"),
        (ExportConfig("/bucket", NETWORKS, squash="some"), "squash: 'some'"),
        (ExportConfig("/bucket", NETWORKS, anon_uid=-1), "anon_uid"),
        (ExportConfig("/bucket", NETWORKS, anon_gid=2**32), "anon_gid"),
        (ExportConfig("/bucket", NETWORKS, id=1), "id: a sub-directory"),
        (ExportConfig("/bucket/dir", NETWORKS), "id: a sub-directory"),
        (ExportConfig("/bucket/dir", NETWORKS, id=65536), "id: a sub-directory"),
        (ExportConfig("/bucket", NETWORKS, make_buckets=True), "make_buckets"),
        (ExportConfig("//", NETWORKS), "one id or one path"),
        (ExportConfig("/bucket/other", NETWORKS, id=9), "one id or one path"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(export: ExportConfig, message: str) -> None:
    others = ExportConfig("/", NETWORKS), ExportConfig("/bucket/dir/below", NETWORKS, id=9)
    with pytest.raises(ConfigError, match=f"exports: .*{message}"):
        read(render(example(*others, export)))


def test_an_unknown_setting_of_an_export_is_named() -> None:
    text = render(example()).replace("read_only = false", "readonly = false")
    with pytest.raises(ConfigError, match=r"exports\[0\].readonly: no such setting"):
        read(text)


def test_the_databases_exports_stay_in_force_and_the_configuration_wins_for_its_paths() -> None:
    metastore = MemoryMetaStore(ManualClock(), MemoryDatabase())
    for path in ("/data", "/old"):
        run(metastore.put_export(Row(path, 1, 1, NETWORKS, read_only=True, squash="all", anon_uid=1, anon_gid=2)))
    rules = run(read_rules(example(ExportConfig("/data/", ("10.1.0.0/16",))), metastore))
    assert rules == [
        Export("/data/", ("10.1.0.0/16",)),
        Export("/old", NETWORKS, read_only=True, squash="all", anon_uid=1, anon_gid=2),
    ]


def test_a_reload_of_exports_that_make_no_sense_asks_no_gateway(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.config_path.write_text(render(example(ExportConfig("/bucket", ("nowhere",)))))
    with pytest.raises(ConfigError, match="clients: 'nowhere'"):
        reload_exports(home)
