"""An installation from setup to its end: what it says of itself, what survives a stop, and what `check` finds."""

from __future__ import annotations

import json
import os
import random
import socket
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

    NewHouse = Callable[..., House]


def put(house: House, key: str, data: bytes) -> None:
    with closing(house.s3()) as s3:
        s3.put_object(Bucket=house.bucket, Key=key, Body=data)


def get(house: House, key: str) -> bytes:
    with closing(house.s3()) as s3, closing(s3.get_object(Bucket=house.bucket, Key=key)["Body"]) as body:
        data: bytes = body.read()
    return data


def test_status_names_all_that_a_client_needs(house: House):
    status = json.loads(house.gatefold("status", "--json").stdout)
    assert status["state"] == "running"
    assert status["s3"]["endpoint"] == house.endpoint
    assert status["nfs"]["host"] == "127.0.0.1"
    assert (status["nfs"]["port"], status["nfs"]["mount_port"]) == (house.nfs_port, house.mount_port)
    assert [export["path"] for export in status["exports"]]
    assert house.keys[0] in status["accounts"][0]["access_keys"]
    assert [node["up"] for node in status["nodes"]] == [True, True, True]
    assert house.bucket in [volume["name"] for volume in status["volumes"]]


def test_serve_prints_how_to_use_both_doors(house: House):
    log = house.log_path.read_text()
    assert f"mount -t nfs -o vers=3,tcp,nolock,port={house.nfs_port},mountport={house.mount_port}" in log
    assert house.endpoint in log
    assert "aws --endpoint-url" in log


def test_a_stopped_house_leaves_no_process_and_no_port_and_finds_its_data_again(new_house: NewHouse):
    data, house = random.Random(1).randbytes(300_000), new_house()
    with house:
        put(house, "kept/here", data)
        keys = house.keys
    for port in (house.s3_port, house.nfs_port, house.mount_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert house.check()["clean"], "check also works on a house that is not served"
    with house:
        assert house.keys == keys
        assert get(house, "kept/here") == data


def test_two_installations_run_side_by_side(house: House, own_house: House):
    put(house, "side/by/side", b"one")
    put(own_house, "side/by/side", b"two")
    assert (get(house, "side/by/side"), get(own_house, "side/by/side")) == (b"one", b"two")


def test_setup_refuses_a_home_that_is_set_up(house: House):
    done = house.gatefold("setup", "--defaults", ok=False)
    assert done.returncode != 0
    assert str(house.home) in done.stderr


def test_a_home_is_served_once(house: House):
    done = house.gatefold("serve", ok=False)
    assert done.returncode != 0
    assert "in use" in done.stderr


def test_an_unknown_setting_is_refused_by_its_name(new_house: NewHouse):
    house = new_house()
    path = house.home / "gatefold.toml"
    settings = path.read_text()
    path.write_text(settings + "\n[s4]\nport = 1\n")
    done = house.gatefold("status", ok=False)
    path.write_text(settings)
    assert done.returncode != 0
    assert "s4" in done.stderr


def test_check_finds_a_damaged_copy_and_a_reader_never_sees_it(new_house: NewHouse):
    data, house = random.Random(2).randbytes(1_000_000), new_house()
    with house:
        put(house, "precious", data)
    needle, damaged = data[500_000:500_064], 0
    for path in sorted(house.home.glob("node*/**/*")):
        if path.is_file() and (offset := path.read_bytes().find(needle)) >= 0:
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(bytes(len(needle)))
                os.fsync(file.fileno())
            damaged += 1
            break
    assert damaged, "no copy was found to be damaged"
    report = house.report()
    findings = {finding["rule"] for volume in report["volumes"] for finding in volume["findings"]}
    assert not report["clean"]
    assert findings <= {"blob.damaged", "blob.copies"}, "a node that sets the copy aside at its start has one too few"
    with house:
        assert get(house, "precious") == data, "the other copy is served"
