"""The configuration: strict, complete, and the same after a round trip."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.choices import Choices, complete, new_config, read_answers
from appliance.config import (
    FIRST_GATEWAY,
    FORMAT,
    Config,
    ConfigError,
    DatabaseConfig,
    GatewayConfig,
    S3Config,
    load,
    render,
)
from appliance.home import CLUSTER, Home, HomeBusy

if TYPE_CHECKING:
    from pathlib import Path


def example(**changes: object) -> Config:
    choices = complete(Choices(s3_port=25000, nfs_port=25001, mount_port=25002, portmap=False, node_port=25010))
    database = DatabaseConfig(True, "postgres", "postgres/socket", "nobody")
    config = new_config(choices, database, "0a31f2b4-0000-4000-8000-123456789abc")
    return replace(config, **changes)


def saved(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gatefold.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rendered_configuration_loads_as_the_same(tmp_path: Path) -> None:
    origins = ("https://*.a.test", "http://localhost:*", "*")
    config = example(s3=S3Config("0.0.0.0", 1, 'quo"te\\ and\ttab', "ä.example", origins))
    assert load(saved(tmp_path, render(config))) == config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("port = 25000", "prot = 25000", "s3.prot: no such setting"),
        ("port = 25000", 'port = "25000"', "s3.port: wanted int, found '25000'"),
        ("port = 25000", "port = 70000", "s3.port: 70000 is no port"),
        ("port = 25000", "port = true", "s3.port: wanted int, found True"),
        ("port = 25010", 'colour = "red"', r"nodes\[0\].colour: no such setting"),
        ('listen = "127.0.0.1"', 'listen = "here"', "s3.listen: 'here' is no IPv4 address"),
        ("[database]\nmanaged = true", "[database]", "database.managed: missing"),
        ("id = 2", "id = 1", "two nodes have one id"),
        ("0a31f2b4-", "0a31f2b4/", "installation: .* is no UUID"),
        (f"format = {FORMAT}", f"format = {FORMAT + 1}", "is newer than this Gatefold reads"),
        ("format = 1", "format = ", "Invalid"),
        ("cors_origins = []", 'cors_origins = "*"', "s3.cors_origins: wanted a list"),
        ("cors_origins = []", 'cors_origins = ["null"]', r"s3.cors_origins\[0\]: 'null' is no origin"),
        ("cors_origins = []", 'cors_origins = ["https://*.a.*"]', "is no origin"),
        ("cors_origins = []", 'cors_origins = ["https://a.test/"]', "is no origin"),
        ('cors_methods = ["GET"', 'cors_methods = ["GET", "PATCH"', "s3.cors_methods: 'PATCH' is none of S3's"),
        ('cors_headers = ["*"]', 'cors_headers = ["x-*-*"]', r"s3.cors_headers: 'x-\*-\*' is no header"),
        ('cors_expose = ["ETag"', 'cors_expose = ["*"', r"s3.cors_expose: '\*' is no header"),
        ('cors_expose = ["ETag"', 'cors_expose = ["a\\r\\nb"', "is no header"),
        ("cors_max_age_seconds = 3600", "cors_max_age_seconds = -1", "is not within a day"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = render(example())
    assert old in text
    with pytest.raises(ConfigError, match=message):
        load(saved(tmp_path, text.replace(old, new, 1)))


def test_a_home_without_configuration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gatefold setup"):
        Home(tmp_path).config()


def test_a_whole_number_of_seconds_is_a_number_of_seconds(tmp_path: Path) -> None:
    text = render(example()).replace("start_timeout_seconds = 60.0", "start_timeout_seconds = 5")
    assert load(saved(tmp_path, text)).lifecycle.start_timeout_seconds == 5.0


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (Choices(nodes=0), "nodes: 0"),
        (Choices(nodes=2, copies=3), "copies: 3"),
        (Choices(write_quorum=3), "write_quorum: 3"),
        (Choices(listen="::"), "listen"),
        (Choices(clients=("10.0.0.1/8",)), "clients"),
        (Choices(squash="some"), "squash"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choices: Choices, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        complete(choices)


def test_open_choices_are_filled_in() -> None:
    choices = complete(Choices(s3_port=25000))
    assert choices.s3_port == 25000
    assert choices.nfs_port != choices.mount_port
    assert choices.write_quorum == choices.copies == 2
    assert (choices.uid, choices.gid) == (os.getuid(), os.getgid())


def test_an_answers_file_has_the_names_of_the_choices(tmp_path: Path) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text('nodes = 5\nclients = ["192.0.2.0/24"]\nportmap = false\n')
    assert read_answers(answers) == Choices(nodes=5, clients=("192.0.2.0/24",), portmap=False)
    answers.write_text("knots = 5\n")
    with pytest.raises(ConfigError, match="knots: no such setting"):
        read_answers(answers)


def test_secrets_are_private_and_refused_when_they_are_not(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make_secrets()
    path = tmp_path / "secrets" / CLUSTER
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(home.key(CLUSTER)) == 32
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        home.key(CLUSTER)


def test_a_home_is_locked_once_and_says_by_whom(tmp_path: Path) -> None:
    home = Home(tmp_path)
    mine = f"gatefold serve`, process {os.getpid()}"
    with home.lock("lock", "serve"), pytest.raises(HomeBusy, match=mine), home.lock("lock", "check"):
        pass
    with home.lock("lock", "check"):
        pass


def test_a_further_gateway_has_doors_of_its_own_and_all_else_in_common() -> None:
    config = example(gateways=(GatewayConfig("west", "127.0.0.2", 1, 2, 3),))
    doors = config.for_gateway("west")
    assert (doors.s3.listen, doors.s3.port, doors.nfs.port, doors.nfs.mount_port) == ("127.0.0.2", 1, 2, 3)
    assert doors.s3.region == config.s3.region
    assert doors.nodes == config.nodes
    assert config.for_gateway(FIRST_GATEWAY) is config
    with pytest.raises(ConfigError, match="no gateway 'east'"):
        config.for_gateway("east")


def test_a_gateway_is_added_at_the_end_and_what_people_wrote_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    text = render(example()) + "# a remark\n"
    saved(tmp_path, text)
    home.add_gateway(GatewayConfig("west", "127.0.0.1", 1, 2, 3))
    home.add_gateway(GatewayConfig("east", "127.0.0.1", 4, 5, 6))
    assert home.config_path.read_text().startswith(text)
    assert [each.name for each in home.config().gateways] == ["west", "east"]
    assert load(saved(tmp_path, render(home.config()))) == home.config()


@pytest.mark.parametrize(
    ("gateway", "message"),
    [
        (GatewayConfig("west", "127.0.0.1", 4, 5, 6), "two gateways have one name"),
        (GatewayConfig(FIRST_GATEWAY, "127.0.0.1", 4, 5, 6), "no name for one"),
        (GatewayConfig("../east", "127.0.0.1", 4, 5, 6), "no name for one"),
        (GatewayConfig("", "127.0.0.1", 4, 5, 6), "no name for one"),
        (GatewayConfig("east", "here", 4, 5, 6), r"gateways\[1\].listen: 'here' is no IPv4 address"),
        (GatewayConfig("east", "127.0.0.1", 4, 0, 6), r"gateways\[1\].nfs_port: 0 is no port"),
    ],
)
def test_a_gateway_that_makes_no_sense_is_not_added(tmp_path: Path, gateway: GatewayConfig, message: str) -> None:
    home = Home(tmp_path)
    saved(tmp_path, render(example(gateways=(GatewayConfig("west", "127.0.0.1", 1, 2, 3),))))
    before = home.config_path.read_text()
    with pytest.raises(ConfigError, match=message):
        home.add_gateway(gateway)
    assert home.config_path.read_text() == before
