"""Prompts and answers: nowhere unless the configuration says so, and then for so long."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.server.doors import CHAT, TOML, chat_body, opened
from tests.server.test_idempotency import PATHS
from tests.server.test_streaming import Slow

from pointsman import AsyncRouter
from pointsman.config import TierSettings
from pointsman.core.errors import UpstreamReset
from pointsman.ledger import LedgerSettings
from pointsman.ledger.contents import Content
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.providers.fake import FakeProvider
from pointsman.routing import Stores
from pointsman.server.upkeep import kept_tidy, sweep

KEEPING = TOML.replace("[ledger]", "[ledger]\nstore_content = true")
PROMPT, ANSWER = "zebra-prompt-1f3a", "zebra-answer-9c2d"
DAY_NS = 24 * 3600 * 10**9


async def kept(stores: Stores) -> list[Content]:
    """Return what is kept, once all that is queued has been written."""
    await stores.ledger.book_feedback("nobody's", "", 0.5, 1)
    assert stores.contents is not None
    return list(stores.contents.read())


def any_file_has(folder: Path, *texts: str) -> bool:
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    assert data
    return any(text.encode() in data for text in texts)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_what_was_asked_and_answered_is_kept_where_that_is_wanted(
    dialect: str, is_stream: bool
):
    path, body = PATHS[dialect]
    if is_stream and dialect == "gemini":
        path = "/v1beta/models/fast:streamGenerateContent?alt=sse"
    elif is_stream:
        body = body[:-1] + b',"stream":true}'
    async with opened({"small": [ANSWER]}, toml=KEEPING, keys="me:0123456789abcdef") as client:
        headers = {"authorization": "Bearer 0123456789abcdef"}
        replies = [await client.ask("POST", path, body, headers) for _ in range(2)]  # a hit too
        found = await kept(client.pipeline.stores)
    assert [one.request_id for one in found] == [r.headers["x-request-id"] for r in replies]
    assert [(one.tenant, one.request, one.answer) for one in found] == [("me", body, ANSWER)] * 2


async def test_of_an_answer_that_broke_off_what_there_was_is_kept(
    monkeypatch: pytest.MonkeyPatch,
):
    broken = Slow(UpstreamReset("gone"))
    broken.go_on.set()
    async with opened(toml=KEEPING) as client:
        monkeypatch.setattr(client.upstream, "call", broken.call)
        await client.ask("POST", CHAT, chat_body(model="fast", stream=True))
        (only,) = await kept(client.pipeline.stores)
    assert only.answer == "first"


async def test_the_library_keeps_them_too():
    upstream = FakeProvider({"small": [ANSWER]})
    providers = {"fake": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}}
    async with AsyncRouter(
        [TierSettings("fast", ["fake/small"])],
        call_with={"fake": upstream},
        env={},
        providers=providers,
        ledger={"url": "sqlite://", "store_content": True},
        prices={"fake/small": {"input": 1.0, "output": 1.0}},
    ) as router:
        await router.route(PROMPT)
        (only,) = await kept(router.pipeline.stores)
    assert PROMPT.encode() in only.request
    assert only.answer == ANSWER


async def test_without_a_word_nothing_of_either_is_in_any_file(tmp_path: Path):
    assert not LedgerSettings().store_content
    toml = TOML.replace("sqlite://", f"sqlite:///{tmp_path}/ledger.db")
    async with opened({"small": [ANSWER]}, toml=toml) as client:
        for headers in ({}, {"x-pointsman-cache": "off"}):
            for is_stream in (False, True):
                body = chat_body(PROMPT, model="fast", stream=is_stream)
                assert (await client.ask("POST", CHAT, body, headers)).status == 200
        assert client.pipeline.stores.contents is None
        assert not any_file_has(tmp_path, PROMPT, ANSWER)
    assert not any_file_has(tmp_path, PROMPT, ANSWER)


class Wall:
    """A clock on the wall."""

    now_ns = 2_000_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


def in_file(path: Path, text: str) -> bool:
    """Return whether a text is anywhere in the file, once its log has been written into it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return text.encode() in path.read_bytes()


async def test_after_its_days_a_content_is_gone_from_the_file_itself(tmp_path: Path):
    path, wall = tmp_path / "ledger.db", Wall()
    ledger = SqliteLedger(path)
    contents = ledger.contents(wall, days=30)
    for number in range(250):
        contents.keep(request_id=f"r{number}", tenant="t", request=PROMPT.encode(), answer=ANSWER)
        wall.now_ns += DAY_NS // 1000
    assert len(list(contents.read())) in range(251)
    await contents.sweep()
    assert len(list(contents.read())) == 250
    assert in_file(path, PROMPT)
    wall.now_ns += 30 * DAY_NS - 10 * (DAY_NS // 1000)
    await contents.sweep()
    assert [one.request_id for one in contents.read()] == [f"r{n}" for n in range(240, 250)]
    wall.now_ns += DAY_NS
    await contents.sweep()
    assert list(contents.read()) == []
    await ledger.close()
    assert not in_file(path, PROMPT)
    assert not in_file(path, ANSWER)


async def test_those_that_come_sweep_out_those_that_are_old():
    wall = Wall()
    ledger = SqliteLedger(":memory:")
    contents = ledger.contents(wall, days=1)
    contents.keep(request_id="old", tenant="", request=b"", answer="")
    wall.now_ns += 2 * DAY_NS
    contents.keep(request_id="new", tenant="", request=b"", answer="\ud800 half")
    await ledger.outcomes(wall).sweep()  # waits for what is queued before it
    (only,) = contents.read()
    assert (only.request_id, only.answer) == ("new", "? half")
    await ledger.close()


async def test_a_server_sweeps_when_it_starts_and_again():
    class Swept:
        """Counts."""

        count = 0

        async def sweep(self) -> None:
            self.count += 1

    async with opened(toml=KEEPING) as client:
        stores, swept = client.pipeline.stores, Swept()
        object.__setattr__(stores, "contents", swept)
        await sweep(stores)
        assert swept.count == 1
        async with kept_tidy(stores):
            await stores.ledger.book_feedback("x", "", 0.5, 1)
            await stores.ledger.book_feedback("x", "", 0.5, 1)
        assert swept.count == 2
