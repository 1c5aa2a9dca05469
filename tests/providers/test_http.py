"""The HTTP provider alone: connections, time limits, Retry-After, keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults import upstream as up
from tests.pipeline.rig import asking, until

from pointsman.core.errors import (
    UpstreamAuth,
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from pointsman.core.events import Event, Finished, Started, TextDelta, is_content
from pointsman.core.types import Capability, Deployment, Request, Step
from pointsman.core.wire.asked_effort import asked_effort
from pointsman.providers import Counting, Timeouts
from pointsman.providers.clients import open_transport
from pointsman.providers.http import HttpProvider
from pointsman.providers.retry_after import retry_after_s
from pointsman.providers.transport import HttpClient

NOON = "Mon, 23 Nov 2026 12:00:00 GMT"
NOON_S = 1_795_435_200.0
USUAL = Timeouts()
QUICK = Timeouts(connect_s=1.0, first_byte_s=0.2, reply_s=0.2, idle_s=0.2)


def step(base_url: str, *, key_env: str = "") -> Step:
    deployment = Deployment(
        provider="p", model="m", dialect="openai-chat", base_url=base_url, api_key_env=key_env
    )
    return Step(tier="t", deployment=deployment)


@asynccontextmanager
async def provider(
    timeouts: Timeouts = USUAL, key: str | None = None, client: HttpClient = "own"
) -> AsyncIterator[HttpProvider]:
    transport = open_transport(client, connect_s=timeouts.connect_s)
    made = HttpProvider(timeouts=timeouts, key_of=lambda _: key, transport=transport)
    try:
        yield made
    finally:
        await made.close()


async def read(
    made: HttpProvider, base_url: str, *, stream: bool, key_env: str = ""
) -> list[Event]:
    """Read as the router does: up to the end, and no further."""
    events: list[Event] = []
    async with aclosing(made.call(asking(stream=stream), step(base_url, key_env=key_env))) as call:
        async for event in call:
            events.append(event)
            if isinstance(event, Finished):
                break
    return events


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_one_connection_serves_request_after_request(stream: bool):
    async with up.upstream(m=up.answer()) as server, provider() as made:
        for _ in range(20):
            await read(made, server.base_url, stream=stream)
        assert (server.connections, len(server.seen)) == (1, 20)


async def test_a_connection_is_kept_when_the_body_ends_after_the_last_event():
    # Most servers send the chunk that ends the body by itself, after the answer's own end.
    ends = asyncio.Event()

    async def behave(peer: up.Peer) -> None:
        peer.keeps_alive = True
        await peer.send(up.stream_head())
        await peer.chunks(up.delta("Hi", "stop"), up.DONE)
        await ends.wait()
        ends.clear()
        await peer.chunks(b"")

    async with up.upstream(m=behave) as server, provider() as made:
        for _ in range(5):
            async with aclosing(made.call(asking(), step(server.base_url))) as call:
                async for event in call:
                    if isinstance(event, Finished):
                        ends.set()
                        break
        assert (server.connections, len(server.seen)) == (1, 5)


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_connection_is_kept_after_an_error_reply(status: int):
    async with up.upstream(m=up.reply(status, up.error_body("no"))) as server, provider() as made:
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await read(made, server.base_url, stream=True)
        assert server.connections == 1


async def test_an_answer_left_in_the_middle_cuts_its_connection():
    behaviour = up.then_hang(
        up.stream_head(), b"%x\r\n%b\r\n" % (len(up.delta("a")), up.delta("a"))
    )
    async with up.upstream(m=behaviour) as server, provider() as made:
        async with aclosing(made.call(asking(), step(server.base_url))) as call:
            async for event in call:
                if is_content(event):
                    break
        await until(lambda: not server.open_connections)
        assert server.seen[0].was_cut


async def test_headers_and_first_content_share_one_limit():
    # Each comes within the limit, both together do not.
    late, later = asyncio.Event(), asyncio.Event()

    async def behave(peer: up.Peer) -> None:
        await late.wait()
        await peer.send(up.stream_head())
        await later.wait()
        await peer.chunks(up.delta("a", "stop"), up.DONE, b"")

    async with up.upstream(m=behave) as server, provider(QUICK) as made:
        loop = asyncio.get_running_loop()
        loop.call_later(0.15, late.set)
        loop.call_later(0.30, later.set)
        with pytest.raises(UpstreamTimeout):
            await read(made, server.base_url, stream=True)


LATE_S = 0.5


@pytest.mark.parametrize(
    ("own_s", "effort", "is_in_time"),
    [
        (None, None, False),
        (None, "low", False),
        (None, "high", True),
        (5.0, None, True),
        (5.0, "low", True),
        (0.1, "high", True),
    ],
)
async def test_a_model_and_an_effort_may_have_limits_of_their_own(own_s, effort, is_in_time):
    limits = msgspec.structs.replace(QUICK, first_byte_by_effort={"high": 5.0, "low": 0.1})
    late = asyncio.Event()

    async def behave(peer: up.Peer) -> None:
        await late.wait()
        await up.answer()(peer)

    fields = {} if effort is None else {"reasoning_effort": effort}
    async with up.upstream(m=behave) as server, provider(limits) as made:
        asyncio.get_running_loop().call_later(LATE_S, late.set)
        step = calling(server.base_url, first_byte_s=own_s)
        if is_in_time:
            assert await answered(made, asking(fields=fields), step)
            return
        with pytest.raises(UpstreamTimeout):
            await answered(made, asking(fields=fields), step)


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({}, None),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning": {"effort": "xhigh"}}, "xhigh"),
        ({"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}}, "max"),
        ({"thinking": {"type": "enabled", "budget_tokens": 30_000}}, "high"),
        ({"thinking": {"type": "disabled"}}, None),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "low"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 9_000}}}, "medium"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, None),
        ({"reasoning_effort": "huge"}, None),
        ({"reasoning_effort": 7}, None),
        ([], None),
    ],
)
def test_the_effort_is_read_in_every_dialect(body: object, effort: str | None):
    assert asked_effort(msgspec.json.encode(body)) == effort


async def test_a_slow_reader_does_not_make_the_upstream_late():
    # The reader takes longer over one event than the upstream may take between two.
    go_on = asyncio.Event()

    async def behave(peer: up.Peer) -> None:
        await peer.send(up.stream_head())
        await peer.chunks(up.delta("a"))
        await go_on.wait()
        await peer.chunks(up.delta("b", "stop"), up.DONE, b"")

    async with up.upstream(m=behave) as server, provider(QUICK) as made:
        loop, slow = asyncio.get_running_loop(), asyncio.Event()
        events = []
        async for event in made.call(asking(), step(server.base_url)):
            events.append(event)
            if isinstance(event, TextDelta) and event.text == "a":
                loop.call_later(2 * QUICK.idle_s, slow.set)
                await slow.wait()
                loop.call_soon(go_on.set)
        assert isinstance(events[-1], Finished)


async def test_a_key_from_a_file_may_end_in_a_line_break():
    async with up.upstream(m=up.answer()) as server, provider(key="secret\n") as made:
        await read(made, server.base_url, stream=True, key_env="KEY")
        assert server.seen[0].headers["authorization"] == "Bearer secret"


async def test_a_key_that_no_header_can_hold_is_told_without_it():
    async with up.upstream(m=up.answer()) as server, provider(key="sec\nret") as made:
        with pytest.raises(UpstreamConnect) as caught:
            await read(made, server.base_url, stream=True, key_env="KEY")
        assert "sec" not in str(caught.value) and "ret" not in str(caught.value)


async def test_a_base_url_that_is_none_is_told():
    async with provider() as made:
        with pytest.raises(UpstreamConnect):
            await read(made, "http://[broken/v1", stream=True)


async def test_a_closed_provider_can_be_used_again():
    async with up.upstream(m=up.answer()) as server, provider() as made:
        await read(made, server.base_url, stream=True)
        await made.close()
        assert await read(made, server.base_url, stream=True)


def date(header: str) -> dict[str, str]:
    return {"retry-after": header}


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        (date("0"), 0.0),
        (date("17"), 17.0),
        (date(" 17 "), 17.0),
        (date("1.5"), 1.5),
        (date("-1"), None),
        (date("soon"), None),
        (date(""), None),
        (date("1e3"), None),
        (date("\u0661"), None),
        (date("9" * 5000), 86_400.0),
        (date("Mon, 23 Nov 2026 12:00:30 GMT"), 30.0),
        (date("Mon, 23 Nov 2026 11:59:00 GMT"), 0.0),
        (date("Mon, 23 Nov 2026 12:00:30"), 30.0),
        (date("Mon, 23 Nov 99999 12:00:30 GMT"), None),
        (date("Fri, 23 Nov 2029 12:00:00 GMT"), 86_400.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "9" * 5000}, 86_400.0),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        # The upstream's clock is an hour behind ours: its own Date says what it meant.
        (
            {
                "retry-after": "Mon, 23 Nov 2026 11:00:30 GMT",
                "date": "Mon, 23 Nov 2026 11:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": NOON, "date": "never"}, 0.0),
    ],
)
def test_retry_after_is_read_as_written(headers: dict[str, str], wait_s: float | None):
    assert retry_after_s(headers, now_s=NOON_S) == wait_s


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_no_retry_after_is_an_error(headers: dict[str, str]):
    wait_s = retry_after_s(headers, now_s=NOON_S)
    assert wait_s is None or 0 <= wait_s <= 86_400


CANARY = "canary-canary-canary-1"


def calling(base_url: str, **more: object) -> Step:
    facts = {"provider": "p", "model": "m", "dialect": "openai-chat", "base_url": base_url, **more}
    return Step(tier="t", deployment=msgspec.convert(facts, Deployment))


async def answered(made: HttpProvider, request: Request, step: Step) -> list[Event]:
    async with aclosing(made.call(request, step)) as call:
        return [event async for event in call]


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("authorization", f"Bearer {CANARY}"),
        ("Authorization", f"Bearer {CANARY}"),
        ("x-api-key", CANARY),
        ("x-goog-api-key", CANARY),
        ("api-key", CANARY),
    ],
)
async def test_a_key_goes_into_its_header_and_nowhere_else(header: str, sent: str):
    async with up.upstream(m=up.answer()) as server, provider(key=CANARY) as made:
        step = calling(server.base_url, api_key_env="K", auth_header=header)
        await answered(made, asking(), step)
        (seen,) = server.seen
        assert seen.headers.pop(header.lower()) == sent
        assert CANARY not in f"{seen.line} {seen.headers} {seen.body}"


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key", "api-key"])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500])
async def test_no_error_repeats_a_key(header: str, status: int, caplog: pytest.LogCaptureFixture):
    said = up.error_body(f"the key {CANARY} is wrong")
    async with up.upstream(m=up.reply(status, said)) as server, provider(key=CANARY) as made:
        step = calling(server.base_url, api_key_env="K", auth_header=header)
        with pytest.raises(UpstreamError) as caught:
            await answered(made, asking(), step)
    error = caught.value
    told = f"{error} {error.args} {error.message} {getattr(error, 'body', b'')!r}"
    assert CANARY not in told + caplog.text


async def test_a_deployments_own_headers_are_sent_and_do_not_replace_the_keys():
    async with up.upstream(m=up.answer()) as server, provider(key="k") as made:
        own = {"x-title": "app", "content-type": "text/plain"}
        await answered(made, asking(), calling(server.base_url, api_key_env="K", headers=own))
        headers = server.seen[0].headers
        assert (headers["x-title"], headers["authorization"]) == ("app", "Bearer k")
        assert headers["content-type"] == "application/json"


async def test_an_address_is_filled_from_the_environment():
    async with up.upstream(m=up.answer()) as server, provider(key="eu-1") as made:
        step = calling(server.base_url.replace("/v1", "/{REGION}/v1"))
        await answered(made, asking(), step)
        assert server.seen[0].line.startswith("POST /eu-1/v1/chat/completions ")


@pytest.mark.parametrize("value", [None, "", "a/b", "a@evil.example"])
async def test_an_address_that_cannot_be_filled_is_told_without_the_value(value: str | None):
    async with provider(key=value) as made:
        with pytest.raises(
            UpstreamConnect, match=r"p/m: REGION is not .* export REGION=…"
        ) as caught:
            await answered(made, asking(), calling("http://{REGION}.example/v1"))
        assert not value or value not in str(caught.value)


async def test_what_a_provider_refuses_is_left_out_and_named():
    fields = {"logprobs": True, "seed": 1, "stop": None, "user": "u"}
    drops = ["logprobs", "logit_bias", "stream_options", "stop"]
    async with up.upstream(m=up.answer()) as server, provider() as made:
        events = await answered(made, asking(fields=fields), calling(server.base_url, drops=drops))
        body = server.seen[0].body
    assert not set(drops) & set(body)
    assert (body["seed"], body["user"]) == (1, "u")
    assert [event.dropped for event in events if isinstance(event, Started)] == [("logprobs",)]


@pytest.mark.parametrize(
    ("asked", "capability", "dropped"),
    [
        ("auto", Capability(sampling=False), ("temperature", "top_p")),
        ("auto", Capability(), ()),
        ("p/m", Capability(sampling=False), ()),
        ("m", Capability(sampling=False), ()),
    ],
)
async def test_a_model_that_we_chose_is_not_told_how_to_sample_where_it_refuses_that(
    asked, capability, dropped
):
    request = asking(model=asked, fields={"temperature": 0, "top_p": 0.5})
    async with up.upstream(m=up.answer()) as server, provider() as made:
        to = calling(server.base_url, capability=capability)
        events = await answered(made, request, to)
    assert [event.dropped for event in events if isinstance(event, Started)] == [dropped]
    assert not set(dropped) & set(server.seen[0].body)


async def test_what_was_dropped_before_is_named_first():
    request = msgspec.structs.replace(asking(fields={"seed": 1}), dropped=("metadata", "seed"))
    async with up.upstream(m=up.answer()) as server, provider() as made:
        events = await answered(made, request, calling(server.base_url, drops=["seed"]))
    assert [event.dropped for event in events if isinstance(event, Started)] == [
        ("metadata", "seed")
    ]


async def test_a_request_that_loses_nothing_says_so():
    async with up.upstream(m=up.answer()) as server, provider() as made:
        events = await answered(made, asking(), calling(server.base_url, drops=["logit_bias"]))
    assert [event.dropped for event in events if isinstance(event, Started)] == [()]


async def test_a_redirect_is_not_followed_and_not_asked_for_twice():
    moved = up.reply(308, b"", Location="http://127.0.0.1:1/")
    async with up.upstream(m=moved) as server, provider() as made:
        with pytest.raises(UpstreamConnect, match="308; redirects are not followed") as caught:
            await answered(made, asking(), calling(server.base_url))
        assert caught.value.remedy == "next" and not caught.value.may_have_billed
        assert len(server.seen) == 1


async def test_what_cannot_be_counted_exactly_is_not_counted():
    async with up.upstream(m=up.answer()) as server, provider() as made:
        assert isinstance(made, Counting)
        assert await made.count(asking(), calling(server.base_url)) is None
        assert not server.seen


COUNTED = up.reply(200, b'{"input_tokens": 42}')


async def counted(made: HttpProvider, base_url: str) -> int | None:
    step = calling(base_url, dialect="anthropic", api_key_env="K", auth_header="x-api-key")
    return await made.count(asking("Count me.", max_tokens=7), step)


async def test_an_exact_count_is_asked_for_in_the_upstreams_dialect():
    async with up.upstream(m=COUNTED) as server, provider(key=CANARY) as made:
        assert [await counted(made, server.base_url) for _ in range(3)] == [42, 42, 42]
        seen = server.seen[0]
        assert seen.line.startswith("POST /v1/messages/count_tokens ")
        assert seen.headers["x-api-key"] == CANARY
        assert "Count me." in str(seen.body["messages"])
        assert not {"max_tokens", "stream"} & set(seen.body)
        assert server.connections == 1


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_that_does_not_count_gives_no_count(status: int):
    async with up.upstream(m=up.reply(status, b"{}")) as server, provider() as made:
        assert await counted(made, server.base_url) is None


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (up.reply(401, up.error_body(f"no key {CANARY}")), UpstreamAuth),
        (up.reply(503, b"{}"), UpstreamUnavailable),
        (up.reply(302, b""), UpstreamConnect),
        (up.reply(200, b"oops"), UpstreamBadResponse),
        (up.reply(200, b'{"tokens": 1}'), UpstreamBadResponse),
        (up.reset, UpstreamReset),
    ],
)
async def test_a_count_that_fails_is_an_upstream_error(
    behaviour: up.Behaviour, kind: type[UpstreamError]
):
    async with up.upstream(m=behaviour) as server, provider(key=CANARY) as made:
        with pytest.raises(kind) as caught:
            await counted(made, server.base_url)
    assert CANARY not in str(caught.value)


async def test_a_count_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pointsman.providers.http.COUNT_S", 0.2)
    async with up.upstream(m=up.hang) as server, provider() as made:
        with pytest.raises(UpstreamTimeout):
            await counted(made, server.base_url)


async def test_what_an_upstreams_dialect_has_no_word_for_is_named_with_the_answer():
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    async with up.upstream(m=up.reply(200, msgspec.json.encode(reply))) as server:
        async with provider() as made:
            request = asking(stream=False, fields={"seed": 1, "metadata": {"a": "b"}})
            events = await answered(
                made, request, calling(server.base_url, dialect="anthropic", drops=["top_k"])
            )
        assert server.seen[0].line.startswith("POST /v1/messages ")
        assert server.seen[0].headers["anthropic-version"]
    (opening,) = [event for event in events if isinstance(event, Started)]
    assert {"seed", "metadata"} <= set(opening.dropped)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hi"


UNPAID: dict[str, tuple[str, bytes]] = {
    "openai-chat": ("openai-chat", up.error_body("Insufficient balance.", type="unknown_error")),
    "openai-responses": ("openai-responses", up.error_body("Pay first.")),
    "anthropic": (
        "anthropic",
        b'{"type":"error","error":{"type":"billing_error","message":"Pay first."}}',
    ),
    "gemini": ("gemini", b'{"error":{"code":402,"message":"Pay first.","status":"UNKNOWN"}}'),
    "no JSON": ("openai-chat", b"<h1>Payment Required</h1>"),
}


@pytest.mark.parametrize(("dialect", "body"), UNPAID.values(), ids=UNPAID)
async def test_an_account_that_cannot_pay_is_our_fault_and_not_the_client_s(dialect, body):
    pays_first = up.reply(402, body)
    script = {"m": pays_first, "models/m": pays_first}
    async with up.upstream(**script) as server, provider() as made:
        request = asking(max_tokens=5, stream=False)
        with pytest.raises(UpstreamAuth) as caught:
            await answered(made, request, calling(server.base_url, dialect=dialect))
    assert caught.value.remedy == "next" and caught.value.http_status == 502
