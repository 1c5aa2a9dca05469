"""The pool: who gets which connection, and for how long one is kept."""

import asyncio

from tests.providers.http1.test_connection import HEAD, SENT, CountingLoop, Wire, run

from pointsman.providers.http1.connection import Connection
from pointsman.providers.http1.pool import IDLE_S, Pool


def used(pool: Pool, loop: asyncio.AbstractEventLoop) -> tuple[Connection, Wire]:
    """Return a connection on which a reply has just been read."""
    connection, wire = pool.made(loop), Wire()
    connection.connection_made(wire)
    connection.send(SENT, b"")
    connection.data_received(HEAD % 0)
    return connection, wire


async def test_the_last_one_used_goes_out_first_and_to_its_own_key_only():
    pool, loop = Pool(), asyncio.get_running_loop()
    first, second, other = (used(pool, loop)[0] for _ in range(3))
    for key, connection in (("a", first), ("a", second), ("b", other)):
        pool.give_back(pool.waiting(key), connection)
    now_s = loop.time()
    assert [pool.take(pool.waiting("a"), now_s) for _ in range(3)] == [second, first, None]
    assert (
        pool.take(pool.waiting("c"), now_s) is None and pool.take(pool.waiting("b"), now_s) is other
    )
    pool.close()


async def test_one_that_is_closed_is_given_to_nobody():
    pool, loop = Pool(), asyncio.get_running_loop()
    connections = [used(pool, loop) for _ in range(4)]
    for connection, _ in connections:
        pool.give_back(pool.waiting("a"), connection)
    connections[3][0].eof_received()
    connections[2][0].data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    connections[1][1].abort()
    assert pool.take(pool.waiting("a"), loop.time()) is connections[0][0]
    assert pool.take(pool.waiting("a"), loop.time()) is None
    pool.close()


def test_one_that_waits_for_too_long_is_closed_by_itself():
    loop = CountingLoop()

    async def wait() -> None:
        pool = Pool()
        old, old_wire = used(pool, loop)
        pool.give_back(pool.waiting("a"), old)
        await asyncio.sleep(IDLE_S * 0.6)
        young, young_wire = used(pool, loop)
        pool.give_back(pool.waiting("a"), young)
        await asyncio.sleep(IDLE_S * 0.6)
        assert old_wire.is_aborted and not young_wire.is_aborted
        assert pool.take(pool.waiting("a"), loop.time()) is young
        young.abort()
        await asyncio.sleep(10 * IDLE_S)
        timers = loop.timers
        await asyncio.sleep(10 * IDLE_S)
        assert loop.timers == timers + 1  # that of the sleep: nothing is left to look after

    run(wait(), loop)


def test_one_that_is_too_old_is_not_given_out_before_it_is_closed():
    loop = CountingLoop()

    async def wait() -> None:
        pool = Pool()
        connection, wire = used(pool, loop)
        pool.give_back(pool.waiting("a"), connection)
        assert pool.take(pool.waiting("a"), loop.time() + IDLE_S) is None and wire.is_aborted
        pool.close()

    run(wait(), loop)


async def test_closing_closes_those_in_use_too():
    pool, loop = Pool(), asyncio.get_running_loop()
    (idle, idle_wire), (_, busy_wire) = used(pool, loop), used(pool, loop)
    pool.give_back(pool.waiting("a"), idle)
    pool.close()
    assert idle_wire.is_aborted and busy_wire.is_aborted
    assert pool.take(pool.waiting("a"), loop.time()) is None


async def test_one_that_is_given_back_after_closing_is_not_kept():
    pool, loop = Pool(), asyncio.get_running_loop()
    connection, _ = used(pool, loop)
    pool.close()
    pool.give_back(pool.waiting("a"), connection)
    assert pool.take(pool.waiting("a"), loop.time()) is None
