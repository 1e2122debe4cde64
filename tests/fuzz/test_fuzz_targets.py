"""Every fuzz target by Hypothesis: arbitrary bytes and valid ones that were changed, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from fuzz_registry import targets
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

TARGETS = targets()
#: What one input may cost beside its own size: interpreter and tables, and copies of the input.
MEMORY_BYTES = 1 << 20
COPIES = 64
SECONDS = 1.0
WORDS = [0, 1, 2, 3, 255, 256, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 3, 2**32 - 1]


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Draw a seed and change it in some places: a bit, a word, a cut, a copy."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 40)))
        word = draw(st.sampled_from(WORDS)).to_bytes(4, "big")
        piece = draw(st.one_of(st.just(b""), st.just(word), st.just(data[at:to] * 2), st.binary(max_size=12)))
        aligned = at & ~3
        data = data[:aligned] + piece + data[aligned + 4 :] if piece is word else data[:at] + piece + data[to:]
    return data


def one_input(name: str, data: bytes) -> None:
    """Run the target; anything but its return is a bug."""
    started = time.process_time()
    TARGETS[name].run(data)
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_bytes_come_they_are_a_value_or_a_typed_error(name):
    seeds = tuple(TARGETS[name].seeds())

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=600), changed(seeds), changed(seeds)))
    @example(b"")
    @example(b"\xff" * 64)
    def check(data: bytes) -> None:
        one_input(name, data)

    for seed in seeds:
        one_input(name, seed)
    check()


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_makes_a_target_take_memory_out_of_proportion(name):
    target = TARGETS[name]
    inputs = [*target.seeds(), b"", *(word.to_bytes(4, "big") * (target.max_bytes // 4) for word in WORDS)]
    for data in inputs:
        target.run(data)  # what is made once is made
    for data in inputs:
        tracemalloc.start()
        target.run(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY_BYTES + COPIES * len(data)


def test_every_target_has_a_seed_and_a_name_that_is_a_file_name():
    assert len(TARGETS) > 25
    for name, target in TARGETS.items():
        assert name.replace("-", "").isalnum()
        assert list(target.seeds())
