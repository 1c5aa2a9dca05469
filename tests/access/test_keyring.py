"""The keyring: who is let in, how soon a change holds, and what happens when nobody can tell."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.rig import FakeClock

from pointsman.access import Key, Keys, secret
from pointsman.access.environment import StatedKeys, stated_keys
from pointsman.access.keyring import KNOWN_FOR_S, SERVED_ON_S, Admitted, Keyring
from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.core.errors import AuthUnavailable, Unauthorized
from pointsman.core.grants import CLIENT_SCOPES, EVERYTHING, Grant, Scope
from pointsman.server.auth import KEY_HEADERS

BOUND = Grant(tiers=("fast",))
NS = 10**9


class Watched(SqliteKeys):
    """The real store, which counts how often it is asked, and can be made to fail or hang."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.looks = self.reads = self.hanging = 0
        self.fault: Exception | None = None
        self.is_asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def version(self) -> bytes:
        self.looks += 1
        self.hanging += 1
        self.is_asked.set()
        self.goes_on.wait(30)
        self.hanging -= 1
        if self.fault is not None:
            raise self.fault
        return super().version()

    def read(self) -> Keys:
        self.reads += 1
        return super().read()


class Rig:
    """A keyring on a fake clock, and the operator who changes its store."""

    def __init__(self, tmp_path: Path, env: Mapping[str, str] | None = None) -> None:
        self.clock = FakeClock()
        self.store = Watched(tmp_path / "l.db")
        self.operator = SqliteKeys(str(tmp_path / "l.db"))
        self.operator.create("first", EVERYTHING, now_ns=1, expires_ns=None)
        self.keyring = Keyring(stated_keys(env or {}), self.store, self.clock)

    def create(self, name: str = "web", grant: Grant = BOUND, **named: Any) -> str:
        self.clock.now_s += 0.001  # a command takes its time
        now_ns = self.clock.wall_ns()
        return self.operator.create(name, grant, now_ns=now_ns, **{"expires_ns": None, **named})

    async def admit(self, sent: str) -> Admitted:
        return await self.keyring.admit(sent)

    async def code(self, sent: str) -> str:
        """Return the tenant, or the code of the refusal."""
        try:
            return (await self.admit(sent)).tenant
        except (Unauthorized, AuthUnavailable) as error:
            is_repeated = bool(sent) and sent in error.message
            return "it is repeated" if is_repeated else error.code


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_a_key_is_its_tenant_and_its_grant(rig: Rig):
    made = rig.create(grant=BOUND)
    assert await rig.admit(made) == Admitted(tenant="web", grant=BOUND)


async def test_a_key_made_while_the_server_runs_is_known_at_once(rig: Rig):
    assert await rig.code("pm-unknown") == "invalid_api_key"
    for number in range(5):
        assert await rig.code(rig.create(f"k{number}")) == f"k{number}"


async def test_a_revocation_holds_within_a_second(rig: Rig):
    made = rig.create()
    assert await rig.code(made) == "web"
    rig.operator.revoke("web", now_ns=rig.clock.wall_ns())
    rig.clock.now_s += KNOWN_FOR_S + 0.001
    with pytest.raises(Unauthorized, match="revoked"):
        await rig.admit(made)


async def test_a_store_that_loses_its_keys_lets_nobody_in(rig: Rig, tmp_path: Path):
    """A backup from before the first key, put back while the server runs."""
    made = rig.create()
    assert await rig.code(made) == "web"
    with closing(sqlite3.connect(tmp_path / "l.db")) as file, file:
        file.execute('DELETE FROM "keys"')
        file.execute("DELETE FROM facts")
    rig.clock.now_s += KNOWN_FOR_S + 0.001
    assert [await rig.code(sent) for sent in (made, "pm-unknown", "")] == ["invalid_api_key"] * 3
    assert await rig.code(rig.create("again")) == "again"


async def test_a_known_key_costs_one_look_a_second(rig: Rig):
    made = rig.create()
    await rig.admit(made)
    before = rig.store.looks
    for _ in range(1_000):
        await rig.admit(made)
        rig.clock.now_s += 1 / 128
    assert 7 <= rig.store.looks - before <= 8


async def test_keys_that_nobody_knows_cost_ten_looks_a_second_however_many_come(rig: Rig):
    before, began_s = rig.store.looks, rig.clock.now_s
    for _ in range(50):
        codes = await asyncio.gather(*(rig.code(f"pm-wrong-{n}") for n in range(20)))
        assert set(codes) == {"invalid_api_key"}
        rig.clock.now_s += 0.01
    assert 40 <= rig.store.looks - before <= 10 * (rig.clock.now_s - began_s) + 2


async def test_who_sends_no_key_costs_one_look_a_second_and_what_is_as_it_was_is_not_read_again(
    rig: Rig,
):
    for _ in range(128):
        assert await rig.code("") == "invalid_api_key"
        rig.clock.now_s += 1 / 64
    assert (rig.store.looks, rig.store.reads) == (2, 1)


async def test_an_open_server_looks_once_a_second_whatever_is_sent(tmp_path: Path):
    rig = Rig(tmp_path)
    with rig.operator._writing() as writer:
        writer.execute('DELETE FROM "keys"')
    for _ in range(10):
        assert await rig.code("whatever") == ""
    assert rig.store.looks == 1


async def test_a_look_that_began_when_the_key_came_is_new_enough_for_it(rig: Rig):
    assert await rig.code("pm-unknown") == "invalid_api_key"
    assert (rig.store.looks, rig.clock.slept) == (1, [])


async def test_many_at_once_share_a_look(rig: Rig):
    made = rig.create()
    assert await asyncio.gather(*(rig.code(made) for _ in range(200))) == ["web"] * 200
    assert rig.store.looks == 1


async def test_a_key_expires_at_the_very_time(rig: Rig):
    rig.clock.now_s += 30
    end_ns = rig.clock.wall_ns()
    rig.clock.now_s -= 30
    made = rig.create(expires_ns=end_ns)
    later = rig.create("later", expires_ns=end_ns + 1)
    assert await rig.code(made) == "web"
    rig.clock.now_s = 1_030.0
    assert rig.clock.wall_ns() == end_ns
    with pytest.raises(Unauthorized, match="expired"):
        await rig.admit(made)
    assert await rig.code(later) == "later"


async def test_a_rotated_key_holds_for_its_grace_beside_the_new_one(rig: Rig):
    first = rig.create()
    grace_ns = rig.clock.wall_ns() + 30 * NS
    second = rig.operator.rotate("web", now_ns=rig.clock.wall_ns(), old_until_ns=grace_ns)
    assert await rig.admit(first) == await rig.admit(second)
    rig.clock.now_s += 30
    assert await rig.code(second) == "web"
    with pytest.raises(Unauthorized, match="replaced"):
        await rig.admit(first)


async def test_without_grace_the_old_key_ends_with_the_rotation(rig: Rig):
    first = rig.create()
    assert await rig.code(first) == "web"
    rig.clock.now_s += 0.001
    second = rig.operator.rotate("web", now_ns=2, old_until_ns=None)
    assert await rig.code(second) == "web"
    assert await rig.code(first) == "invalid_api_key"


@pytest.mark.parametrize("is_revoked", [False, True])
async def test_one_key_shuts_the_server_and_its_revocation_does_not_open_it(
    tmp_path: Path, is_revoked: bool
):
    rig = Rig(tmp_path)
    if is_revoked:
        rig.operator.revoke("first", now_ns=2)
    for sent in ("", "pm-wrong"):
        assert await rig.code(sent) == "invalid_api_key"


async def test_without_a_key_anywhere_everybody_may_ask_until_the_first_is_made(tmp_path: Path):
    SqliteKeys(str(tmp_path / "l.db")).create("x", EVERYTHING, now_ns=1, expires_ns=None)
    rig = Rig(tmp_path)
    rig.operator.close()
    (tmp_path / "l.db").unlink()
    empty = SqliteKeys(str(tmp_path / "l.db"))
    with empty._writing():
        pass
    for sent in ("", "whatever"):
        assert await rig.admit(sent) == Admitted(tenant="", grant=EVERYTHING)
    made = empty.create("web", BOUND, now_ns=1, expires_ns=None)
    rig.clock.now_s += KNOWN_FOR_S + 0.001
    assert await rig.code("") == "invalid_api_key"
    assert await rig.code(made) == "web"


async def test_while_the_store_fails_the_known_are_served_and_nobody_is_wrong(
    rig: Rig, caplog: pytest.LogCaptureFixture
):
    made, gone = rig.create(), rig.create("gone")
    rig.operator.revoke("gone", now_ns=2)
    assert await rig.code(made) == "web"
    rig.store.fault = AuthUnavailable("the disk is damaged")
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            rig.clock.now_s += 2
            assert await rig.code(made) == "web"
            assert await rig.code("pm-unknown") == "auth_unavailable"
            assert await rig.code(gone) == "invalid_api_key"
            assert await rig.code("") == "invalid_api_key"
        rig.store.fault = None
        rig.clock.now_s += 2
        assert await rig.code("pm-unknown") == "invalid_api_key"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, "once when it begins, once when it ends"
    assert "the disk is damaged" in told[0]
    assert "can be read again" in told[1]


async def test_known_keys_are_not_served_for_ever_without_their_store(rig: Rig):
    made = rig.create()
    assert await rig.code(made) == "web"
    rig.store.fault = AuthUnavailable("the disk is damaged")
    rig.clock.now_s += SERVED_ON_S
    assert await rig.code(made) == "web"
    rig.clock.now_s += 1
    with pytest.raises(AuthUnavailable) as refusal:
        await rig.admit(made)
    assert refusal.value.retry_after_s == 1.0
    assert refusal.value.is_client_retry_useful


async def test_a_store_that_cannot_be_read_from_the_first_lets_nobody_in_by_mistake(rig: Rig):
    made = rig.create()
    rig.store.fault = RuntimeError("a third party's bug")
    for sent in (made, "pm-wrong", ""):
        assert await rig.code(sent) == "auth_unavailable"
    rig.store.fault = None
    rig.clock.now_s += KNOWN_FOR_S + 0.001
    assert await rig.code(made) == "web"


async def test_a_bug_of_a_store_makes_nobodys_key_wrong(rig: Rig):
    made = rig.create()
    assert await rig.code(made) == "web"
    rig.store.fault = RuntimeError("a third party's bug")
    rig.clock.now_s += 2
    assert await rig.code("pm-unknown") == "auth_unavailable"
    assert await rig.code(made) == "web"


async def test_a_store_that_hangs_makes_each_outage_wait_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pointsman.access.keyring._LOOK_S_MAX", 0.02)
    made = rig.create()
    assert await rig.code(made) == "web"
    rig.store.goes_on.clear()
    rig.clock.now_s += 2
    try:
        async with asyncio.timeout(20):
            for _ in range(50):
                assert await rig.code(made) == "web"
                assert await rig.code("pm-unknown") == "auth_unavailable"
                rig.clock.now_s += 1
        assert rig.store.looks == 2, "one look hangs; no other is sent after it"
    finally:
        rig.store.goes_on.set()


async def test_who_leaves_while_it_is_looked_up_takes_nobody_else_along(rig: Rig):
    made = rig.create()
    rig.store.goes_on.clear()
    first, second = (asyncio.create_task(rig.code(made)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    rig.store.goes_on.set()
    assert await second == "web"


async def test_the_environments_keys_need_no_store(tmp_path: Path):
    env = {"POINTSMAN_API_KEYS": "ci:0123456789", "POINTSMAN_ADMIN_KEY": "admin-0123456789"}
    rig = Rig(tmp_path, env)
    rig.store.fault = AuthUnavailable("gone")
    assert await rig.admit("0123456789") == Admitted(tenant="ci", grant=EVERYTHING)
    admin = await rig.admit("admin-0123456789")
    assert (admin.tenant, admin.grant.scopes) == ("admin", frozenset(Scope))
    assert EVERYTHING.scopes == CLIENT_SCOPES
    assert rig.store.looks == 0
    assert await rig.code("") == "invalid_api_key"
    assert await rig.code("pm-unknown") == "auth_unavailable"


async def test_without_a_store_the_environment_says_it_all():
    shut = Keyring(stated_keys({"POINTSMAN_API_KEYS": "ci:0123456789"}), None, FakeClock())
    for sent in ("", "pm-x"):
        with pytest.raises(Unauthorized):
            await shut.admit(sent)
    nobodys = Keyring(stated_keys({}), None, FakeClock())
    assert (await nobodys.admit("whatever")).tenant == ""


async def test_a_name_that_two_keys_have_is_nobodys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rig = Rig(tmp_path, {"POINTSMAN_API_KEYS": "web:0123456789"})
    made = rig.create()
    with caplog.at_level(logging.ERROR):
        assert await rig.code(made) == "auth_unavailable"
        assert await rig.code(made) == "auth_unavailable"
    assert await rig.code("0123456789") == "web"
    assert len([r for r in caplog.records if "has one of this name" in r.getMessage()]) == 1


async def test_a_grant_that_cannot_be_read_opens_nothing_and_harms_nobody_else(rig: Rig):
    made, other = rig.create(), rig.create("other")
    with rig.operator._writing() as writer:
        writer.execute("UPDATE \"keys\" SET \"grant\" = '{' WHERE name = 'web'")
    assert await rig.code(made) == "auth_unavailable"
    assert await rig.code(other) == "other"


async def test_who_is_let_in_cannot_be_changed_and_is_filled_by_name(rig: Rig):
    admitted = await rig.admit(rig.create())
    with pytest.raises(AttributeError):
        admitted.tenant = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        stated_keys({}).pepper = b""  # type: ignore[misc]
    with pytest.raises(TypeError):
        Admitted("web", BOUND)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        StatedKeys(b"", {})  # type: ignore[call-arg]


async def test_only_keys_that_could_be_taken_and_cannot_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rig = Rig(tmp_path, {"POINTSMAN_API_KEYS": "both:0123456789,ended:9876543210"})
    made = {name: rig.create(name) for name in ("web", "damaged", "lost", "both", "ended")}
    with rig.operator._writing() as writer:
        writer.execute("UPDATE \"keys\" SET \"grant\" = '{' WHERE name IN ('damaged', 'lost')")
    for name in ("lost", "ended"):
        rig.operator.revoke(name, now_ns=2)
    with caplog.at_level(logging.DEBUG, "pointsman"):
        assert await rig.code(made["web"]) == "web"
    told = [record.getMessage() for record in caplog.records if record.name == "pointsman"]
    assert told == [
        'key "both": the environment has one of this name; rename that',
        'key "damaged": its grant is damaged, or a newer pointsman\'s',
    ]


async def test_digests_are_compared_in_constant_time(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    made = rig.create()
    monkeypatch.setattr("pointsman.access.secret.hmac.compare_digest", compare)
    stated = Keyring(stated_keys({"POINTSMAN_API_KEYS": "0123456789"}), None, rig.clock)
    await stated.admit("0123456789")
    assert len(compared) == 1
    assert await rig.code(made) == "web"
    assert len(compared) > 1
    assert all(len(one) == len(other) == 32 for one, other in compared)


@pytest.mark.parametrize(
    "sent",
    ["first", "pm-", "", "\x00", "é" * 10, "\udcff", "pm-" + "A" * 43, "A" * 16_000],
    ids=["name", "prefix", "none", "nul", "accents", "surrogate", "shape", "long"],
)
async def test_what_is_no_key_is_refused_whatever_it_is(rig: Rig, sent: str):
    assert await rig.code(sent) == "invalid_api_key"


async def test_neither_a_secret_nor_a_digest_is_in_a_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        made = rig.create()
        await rig.admit(made)
        for sent in (made[:-1], made + "x"):
            assert await rig.code(sent) == "invalid_api_key"
        rig.store.fault = AuthUnavailable("gone")
        rig.clock.now_s += 5
        await rig.admit(made)
    assert made[3:] not in caplog.text
    assert rig.operator.read().keys[0].digest.hex() not in caplog.text


async def test_closing_lets_go_of_the_store(rig: Rig):
    await rig.admit(rig.create())
    assert rig.store._reader is not None
    await rig.keyring.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        rig.keyring._thread.submit(print)
    rig.keyring._thread.shutdown(wait=True)
    assert rig.store._reader is None


async def test_closing_does_not_wait_for_a_store_that_hangs(rig: Rig):
    rig.store.goes_on.clear()
    asked = asyncio.create_task(rig.code("pm-unknown"))
    assert await asyncio.to_thread(rig.store.is_asked.wait, 30)
    await rig.keyring.close()
    assert rig.store.hanging == 1, "it was not waited for"
    rig.store.goes_on.set()
    assert await asked == "invalid_api_key"


def test_a_key_cannot_be_found_by_an_empty_secret():
    pepper = secret.random_bytes()
    empty = Key(name="x", digest=secret.digest("", pepper), grant=EVERYTHING, created_ns=1)

    class Odd(SqliteKeys):
        def version(self) -> bytes:
            return b"1"

        def read(self) -> Keys:
            return Keys(version=b"1", pepper=pepper, keys=(empty,))

    keyring = Keyring(stated_keys({}), Odd(":none:"), FakeClock())
    with pytest.raises(Unauthorized):
        asyncio.run(keyring.admit(""))


async def test_who_sends_no_key_is_told_every_header_that_one_may_stand_in(rig: Rig):
    with pytest.raises(Unauthorized) as refused:
        await rig.admit("")
    for header in KEY_HEADERS:
        assert header in refused.value.message.lower()
