"""The memory store counts its bytes, and drops what was not read for longest."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryCache


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@given(
    bytes_max=st.integers(0, 4_000),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 1_500))),
)
def test_the_bytes_used_are_the_sum_of_what_is_kept_and_within_the_bound(
    bytes_max: int, steps: list[tuple[bool, int, int]]
):
    cache = MemoryCache(bytes_max, 10)
    for is_put, name, size in steps:
        if is_put:
            cache.put(key(name), bytes(size), now_s=0)
        else:
            cache.get(key(name), now_s=0)
        assert cache.bytes_used <= bytes_max
    kept = [value for name in range(10) if (value := cache.get(key(name), now_s=0)) is not None]
    assert cache.bytes_used == sum(32 + len(value) + ENTRY_OVERHEAD_BYTES for value in kept)


def test_an_expired_entry_gives_its_bytes_back_when_it_is_asked_for():
    cache = MemoryCache(4_000, 10)
    cache.put(key(1), b"one", now_s=0)
    assert cache.get(key(1), now_s=10) is None
    assert cache.bytes_used == 0


def test_the_least_recently_used_makes_room():
    cache = MemoryCache(2 * (32 + 3 + ENTRY_OVERHEAD_BYTES), 10)
    cache.put(key(1), b"one", now_s=0)
    cache.put(key(2), b"two", now_s=0)
    cache.get(key(1), now_s=0)
    cache.put(key(3), b"six", now_s=0)
    assert [cache.get(key(n), now_s=0) for n in (1, 2, 3)] == [b"one", None, b"six"]
