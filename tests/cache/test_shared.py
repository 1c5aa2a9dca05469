"""Shared memory store: what one worker keeps the others find, and a torn record is a miss."""

import hashlib
import os
import signal
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cache.shared import SharedMemoryCache

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork"),
    pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning"),
]
NOW_S = 1_800_000_000.0


def key(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def cache(kb: int = 64) -> SharedMemoryCache:
    return SharedMemoryCache(kb * 1024, 60, entry_bytes_max=1024 * 1024)


def test_what_another_process_puts_is_found_and_a_later_answer_is_not_replaced_by_an_earlier():
    shared = cache()
    shared.put(key(1), b"old", now_s=NOW_S)
    child = os.fork()
    if not child:
        found = shared.get(key(1), now_s=NOW_S)
        shared.put(key(1), b"new", now_s=NOW_S + 1)
        shared.put(key(2), b"two", now_s=NOW_S)
        os._exit(found != b"old")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared.get(key(1), now_s=NOW_S + 1) == b"new"
    assert shared.get(key(2), now_s=NOW_S) == b"two"
    shared.put(key(1), b"old", now_s=NOW_S)
    assert shared.get(key(1), now_s=NOW_S + 1) == b"new"


@given(
    puts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3_000)), max_size=120),
)
def test_whatever_is_found_is_what_was_put_last_and_the_latest_are_found(
    puts: list[tuple[int, int]],
):
    shared, latest = cache(32), {}
    for number, (name, size) in enumerate(puts):
        latest[name] = number.to_bytes(2, "big") * size
        shared.put(key(name), latest[name], now_s=NOW_S + number)
        assert shared.get(key(name), now_s=NOW_S + number) == latest[name]
    for name, value in latest.items():
        assert shared.get(key(name), now_s=NOW_S + len(puts) - 1) in {None, value}


def test_what_is_read_again_and_again_stays_while_others_go():
    shared = cache(64)
    for number in range(2_000):
        shared.put(key(number), b"x" * 900, now_s=NOW_S)
        if number % 10 == 0:
            assert shared.get(key(0), now_s=NOW_S) == b"x" * 900
    assert shared.get(key(1), now_s=NOW_S) is None


def test_memory_that_is_damaged_anywhere_gives_the_value_or_nothing():
    rng = Random(7)
    for _ in range(300):
        shared = cache(16)
        for number in range(10):
            shared.put(key(number), bytes([number]) * 900, now_s=NOW_S)
        for _ in range(20):
            shared._memory[rng.randrange(len(shared._memory))] = rng.randrange(256)
        for number in range(10):
            assert shared.get(key(number), now_s=NOW_S) in {None, bytes([number]) * 900}


def test_processes_killed_while_they_write_leave_misses_and_never_a_wrong_answer():
    shared, rng = cache(64), Random(7)
    for _ in range(8):
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            number = 0
            while True:
                name = rng.randrange(40)
                shared.put(key(name), bytes([name]) * rng.randrange(9_000), now_s=NOW_S + number)
                number += 1
                if number == 20:
                    os.write(tell, b"1")
        assert os.read(told, 1) == b"1"
        for _ in range(300):
            name = rng.randrange(40)
            found = shared.get(key(name), now_s=NOW_S)
            assert found is None or not set(found) - {name}
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
        for name in range(40):
            found = shared.get(key(name), now_s=NOW_S)
            assert found is None or not set(found) - {name}
        shared.put(key(99), b"still works", now_s=NOW_S)
        assert shared.get(key(99), now_s=NOW_S) == b"still works"
