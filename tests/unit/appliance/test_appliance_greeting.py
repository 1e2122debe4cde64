"""What a user copies from the terminal must work as it stands."""

from __future__ import annotations

from dataclasses import replace

from appliance.choices import Choices, complete, new_config
from appliance.config import Config, DatabaseConfig, NfsConfig
from appliance.greeting import greeting, mount_command, s3_endpoint

FACTS = {
    "version": "1.2",
    "volumes": [{"name": "data"}],
    "exports": [{"path": "/data"}],
    "key": {"access_key": "GFKEY", "secret_key": "hidden"},
}


def config(listen: str = "127.0.0.1", *, portmap: bool = False) -> Config:
    choices = Choices(listen=listen, s3_port=25000, nfs_port=25001, mount_port=25002, portmap=portmap, node_port=25003)
    return new_config(complete(choices), DatabaseConfig(managed=False), "0a31f2b4-0000-4000-8000-123456789abc")


def test_the_mount_line_names_what_a_client_cannot_find_out() -> None:
    line = mount_command(config().nfs, "127.0.0.1", "/data")
    assert line == "mount -t nfs -o vers=3,tcp,nolock,port=25001,mountport=25002,mountproto=tcp 127.0.0.1:/data /mnt"


def test_with_a_port_mapper_the_mount_line_is_short() -> None:
    nfs = NfsConfig("10.1.2.3", 2049, 20048, portmap=True)
    assert mount_command(nfs, "10.1.2.3", "/data") == "mount -t nfs -o vers=3,tcp,nolock 10.1.2.3:/data /mnt"


def test_the_greeting_has_everything_to_begin_with() -> None:
    text = "\n".join(greeting(config(), FACTS))
    for piece in ("127.0.0.1:/data", "http://127.0.0.1:25000", "GFKEY", "hidden", "aws --endpoint-url", "s3 ls"):
        assert piece in text
    assert "others" not in text


def test_where_all_buckets_are_exported_the_first_of_them_and_all_can_be_mounted() -> None:
    facts = FACTS | {"exports": [{"path": "/"}, {"path": "/data/sub"}]}
    mounts = [line.split()[-2] for line in greeting(config("0.0.0.0"), facts) if "mount -t nfs" in line]
    assert mounts[:3] == ["127.0.0.1:/data", "127.0.0.1:/", "127.0.0.1:/data/sub"]
    assert mounts[3].endswith(":/data"), "for other hosts"
    assert len(list(greeting(config(), facts | {"volumes": []}))) == len(list(greeting(config(), facts))) - 1


def test_open_to_all_interfaces_it_also_speaks_to_other_hosts_and_warns() -> None:
    text = "\n".join(greeting(config("0.0.0.0"), FACTS))
    assert "127.0.0.1:/data" in text, "the line for this machine"
    assert "others" in text
    assert "trust" in text
    assert s3_endpoint(config("0.0.0.0")) == "http://127.0.0.1:25000"


def test_an_address_of_this_machine_is_what_both_doors_are_reached_by() -> None:
    at = config("127.0.0.2")
    assert s3_endpoint(at) == "http://127.0.0.2:25000"
    assert "127.0.0.2:/data" in "\n".join(greeting(replace(at), FACTS))
