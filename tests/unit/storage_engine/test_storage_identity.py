from __future__ import annotations

import json
import os
import uuid

import pytest

from storage_engine.node import BadConfig, Identity, WrongDisk, format_disk, load_config, parse_config
from storage_engine.node.config import read_secret
from storage_engine.node.identity import claim_disk

ONE = Identity(1, uuid.UUID(int=1), uuid.UUID(int=9))
FIELDS = {"id": 1, "uuid": str(ONE.uuid), "cluster": str(ONE.cluster), "folder": "/x", "port": 1, "secret_file": "/y"}


def test_a_disk_is_claimed_by_its_own_node_alone(tmp_path):
    format_disk(tmp_path / "disk", ONE)
    os.close(claim_disk(tmp_path / "disk", ONE))
    others = [Identity(2, ONE.uuid, ONE.cluster), Identity(1, uuid.UUID(int=2), ONE.cluster)]
    for other in [*others, Identity(1, ONE.uuid, uuid.UUID(int=8))]:
        with pytest.raises(WrongDisk, match="belongs to"):
            claim_disk(tmp_path / "disk", other)


def test_an_empty_or_missing_folder_is_no_disk(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(WrongDisk, match="mounted"):
            claim_disk(folder, ONE)


def test_a_disk_is_used_by_one_process_at_a_time(tmp_path):
    format_disk(tmp_path / "disk", ONE)
    first = claim_disk(tmp_path / "disk", ONE)
    with pytest.raises(WrongDisk, match="in use"):
        claim_disk(tmp_path / "disk", ONE)
    os.close(first)
    os.close(claim_disk(tmp_path / "disk", ONE))


def test_a_folder_that_holds_anything_is_not_formatted(tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(WrongDisk, match="not empty"):
        format_disk(tmp_path, ONE)
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_newer_or_damaged_identity_is_refused(tmp_path):
    format_disk(tmp_path / "disk", ONE)
    path = tmp_path / "disk" / "identity.json"
    good = path.read_bytes()
    path.write_text(json.dumps({**json.loads(good), "format": 2}))
    with pytest.raises(WrongDisk, match="format 2"):
        claim_disk(tmp_path / "disk", ONE)
    for bad in (b"", b"{", good.replace(b'"id": 1', b'"id": 3'), b"[]"):
        path.write_bytes(bad)
        with pytest.raises(WrongDisk, match="damaged"):
            claim_disk(tmp_path / "disk", ONE)


def test_a_disk_that_lost_its_segments_folder_is_refused(tmp_path):
    format_disk(tmp_path / "disk", ONE)
    (tmp_path / "disk" / "segments").rmdir()
    with pytest.raises(WrongDisk, match="lost"):
        claim_disk(tmp_path / "disk", ONE)


def test_a_configuration_is_read_from_toml_and_nothing_unknown_is_taken(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in FIELDS.items()))
    config = load_config(file)
    assert (config.id, config.uuid, config.host) == (1, ONE.uuid, "127.0.0.1")
    for change in ({"colour": 1}, {"id": 0}, {"port": 70000}, {"segment_bytes": 100}, {"uuid": "x"}):
        with pytest.raises(BadConfig):
            parse_config({**FIELDS, **change})
    with pytest.raises(BadConfig):
        load_config(tmp_path / "missing")


def test_a_secret_that_is_short_or_open_to_all_is_refused(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(b"0123456789abcdef\n")
    file.chmod(0o600)
    assert read_secret(file) == b"0123456789abcdef"
    file.chmod(0o604)
    with pytest.raises(BadConfig, match="everyone"):
        read_secret(file)
    file.chmod(0o600)
    file.write_bytes(b"short")
    with pytest.raises(BadConfig, match="fewer"):
        read_secret(file)
