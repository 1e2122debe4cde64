"""Two clients on one volume: what one has done and closed, the other sees when it opens."""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from peers import peers
from place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from house import House
    from lab import KernelLab
    from peers import Peer

#: Names are checked again when a folder's attributes are older than this mount option lets them be.
_NAMES = "actimeo=1"
_SEEN_SECONDS = 10


@pytest.fixture(scope="module")
def booted(house: House, lab: KernelLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    with peers(Place(house, lab), tmp_path_factory.mktemp("peers")) as pair:
        yield pair


@pytest.fixture(scope="module")
def booted_quick(house: House, lab: KernelLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    with peers(Place(house, lab), tmp_path_factory.mktemp("peers"), opts=_NAMES) as pair:
        yield pair


@pytest.fixture
def pair(booted: list[Peer]) -> list[Peer]:
    """Return two clients with the plain mount options, in a new folder."""
    return in_a_new_folder(booted)


@pytest.fixture
def quick_pair(booted_quick: list[Peer]) -> list[Peer]:
    """Return two clients that look at names again every second, in a new folder."""
    return in_a_new_folder(booted_quick)


def in_a_new_folder(pair: list[Peer]) -> list[Peer]:
    folder = f"TOP / {uuid.uuid4().hex!r}"
    for peer in pair:
        peer(f"({folder}).mkdir(exist_ok=True)")
        peer(f"os.chdir({folder})")
    return pair


def write(path: str, text: str) -> str:
    return f"Path({path!r}).write_text({text!r}) and None"


def read(path: str) -> str:
    return f"Path({path!r}).read_text()"


def test_what_one_client_closed_the_other_sees_when_it_opens(pair: list[Peer]):
    one, two = pair
    one(write("f", "first"))
    assert two(read("f")) == "first"
    for turn in range(12):
        writer, reader = (one, two) if turn % 2 else (two, one)
        text = f"turn {turn} " * (1 + turn * 2000)
        writer(write("f", text))
        assert reader(read("f")) == text, "close-to-open is not kept"
        assert reader("os.stat('f').st_size") == len(text)
    one("fd = os.open('f', os.O_RDWR)")
    one("os.pwrite(fd, b'X' * 5000, 3)")
    one("os.fsync(fd)")
    assert two("Path('f').read_bytes()[:5004].count(b'X')") == 5000, "fsync alone shows it too"
    one("os.ftruncate(fd, 10)")
    one("os.close(fd)")
    assert two(read("f")) == "tur" + "X" * 7


def test_appends_of_two_clients_by_turns_are_all_there_in_order(pair: list[Peer]):
    expected = ""
    for turn in range(40):
        line = f"line {turn} of {turn % 2} {'.' * (turn * 37)}\n"
        pair[turn % 2](f"with_ = open('log', 'a'); with_.write({line!r}); with_.close()")
        expected += line
    assert [peer(read("log")) for peer in pair] == [expected, expected]


def test_names_that_one_client_made_moved_and_removed_the_other_sees(quick_pair: list[Peer]):
    one, two = quick_pair
    assert two("os.listdir('.')") == []
    assert two("os.path.exists('a')") is False
    one(write("a", "of one"))
    two.until("os.path.exists('a')", True, _SEEN_SECONDS)
    one("os.rename('a', 'b')")
    two.until("sorted(os.listdir('.'))", ["b"], _SEEN_SECONDS)
    two.until("os.path.exists('a')", False, _SEEN_SECONDS)
    assert two(read("b")) == "of one"
    one(write("c", "new"))
    one("os.rename('c', 'b')")
    assert two(read("b")) == "new", "open looks again: the old file is gone"
    one("os.makedirs('d/e')")
    two.until("os.path.isdir('d/e')", True, _SEEN_SECONDS)
    two(write("d/e/f", "deep"))
    one("os.rename('d', 'moved')")
    two.until("os.listdir('.').count('moved')", 1, _SEEN_SECONDS)
    assert two(read("moved/e/f")) == "deep"
    one("shutil.rmtree('moved')")
    two.until("os.path.exists('moved')", False, _SEEN_SECONDS)
    assert two.refused(read("moved/e/f")) == "ENOENT"
    one("os.unlink('b')")
    assert two.refused("open('b')") == "ENOENT"
    assert two.refused("os.rmdir('none')") == "ENOENT"


def test_an_open_file_that_the_other_client_removes_goes_stale_and_its_own_removal_is_silly(quick_pair: list[Peer]):
    one, two = quick_pair
    one(write("f", "kept"))
    two("fd = os.open('f', os.O_RDONLY)")
    assert two("os.pread(fd, 4, 0)") == "kept"
    two("os.unlink('f')")
    assert two("os.pread(fd, 4, 0)") == "kept", "its own removal is a silly rename"
    one.until("[name[:4] for name in os.listdir('.')]", [".nfs"], _SEEN_SECONDS)
    two("os.close(fd)")
    one.until("os.listdir('.')", [], _SEEN_SECONDS)

    one(write("g", "gone"))
    two("fd = os.open('g', os.O_RDONLY | os.O_DIRECT)")
    one("os.unlink('g')")
    assert two.refused("os.pread(fd, 4096, 0)") == "ESTALE"
    two("os.close(fd)")
    one("os.mkdir('d')")
    two.until("os.path.isdir('d')", True, _SEEN_SECONDS)
    two("os.chdir('d')")
    one("os.rmdir('d')")
    assert two.refused("open('x', 'w')") in ("ESTALE", "ENOENT")
    two("os.chdir('..')")


def test_one_client_lists_and_reads_while_the_other_removes_the_tree(quick_pair: list[Peer]):
    one, two = quick_pair
    one("[os.makedirs(f't/{n}') for n in range(20)] and None")
    one("[Path(f't/{n % 20}/{n}').write_text('x') for n in range(600)] and None")
    removing = one.ask("subprocess.run(['rm', '-rf', 't']).returncode")
    for _ in range(6):
        # `ls` may say that something is gone; it must end, and what it lists are names that were there.
        listed = two("subprocess.run(['ls', '-R', 't'], capture_output=True, text=True).stdout")
        assert {line for line in listed.splitlines() if line.isdigit()} <= {str(n) for n in range(600)}
    assert removing() == 0
    two.until("os.path.exists('t')", False, _SEEN_SECONDS)
    assert one("os.listdir('.')") == []


def test_two_clients_that_make_the_same_names_have_one_winner_each(pair: list[Peer]):
    make = "sum(subprocess.call(['mkdir', f'd{n}'], stderr=subprocess.DEVNULL) == 0 for n in range(25))"
    assert sum(wait() for wait in [peer.ask(make) for peer in pair]) == 25
    assert sorted(pair[0]("os.listdir('.')")) == sorted(f"d{n}" for n in range(25))


def exchange(pair: list[Peer], house: House, turns: int, kills: int) -> None:
    """Write, rename and append by turns, with the gateway killed in *kills* of the turns while one of them writes."""
    dice = random.Random(turns)
    killed = set(dice.sample(range(turns), kills))
    for turn in range(turns):
        writer, reader = pair if turn % 2 else pair[::-1]
        text = f"{turn} " * dice.randrange(1, 200_000)
        writing = writer.ask(f"p = Path('x'); p.write_text({text!r}); p.rename('f')")
        if turn in killed:
            time.sleep(dice.random() * 0.1)  # another moment of the write each time
            house.wait_replaced("gateway", house.kill("gateway"))
        writing()
        assert reader(read("f")) == text, turn
        reader(f"log = open('log', 'a'); log.write('{turn}\\n'); log.close()")
    assert [int(line) for line in pair[0](read("log")).split()] == list(range(turns))


@pytest.mark.kernel
def test_two_clients_go_on_by_turns_while_the_gateway_is_killed(own_house: House, lab: KernelLab, tmp_path: Path):
    with peers(Place(own_house, lab), tmp_path, opts=_NAMES) as pair:
        exchange(pair, own_house, turns=30, kills=8)
    own_house.check()
