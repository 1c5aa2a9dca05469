"""The routes, their replies and their headers, as SPEC's section 4 has them."""

import json
import re

import pytest
from tests.server.doors import CHAT, SCRIPT, TOML, chat_body, opened

from pointsman.core.errors import UpstreamRateLimited, UpstreamReset, UpstreamUnavailable
from pointsman.providers.fake import Scripted
from pointsman.server.routes import ROUTES, find_route

ANSWER_HEADERS = {
    "x-request-id",
    "x-pointsman-tier",
    "x-pointsman-model",
    "x-pointsman-cost-usd",
    "x-pointsman-cache",
    "x-pointsman-attempts",
    "x-pointsman-reason",
    "x-pointsman-policy",
}


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/chat/completions/", "/metricsX", "//"])
async def test_an_unknown_path_is_404_in_openais_shape(path: str):
    async with opened() as client:
        reply = await client.ask("GET", path)
    assert reply.status == 404
    assert reply.error()["code"] == "route_not_found"
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "path", ["/v1beta/models/x:embedContent", "/v1beta/models/a/b:c:embedContent", "/v1beta/x"]
)
async def test_a_method_of_googles_that_is_not_served_is_404_in_googles_shape(path: str):
    async with opened() as client:
        reply = await client.ask("POST", path)
    assert reply.status == 404
    assert reply.json()["error"]["status"] == "NOT_FOUND"
    assert reply.json()["error"]["code"] == 404


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_an_empty_name_is_refused_in_googles_shape(version: str):
    body = b'{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}'
    async with opened() as client:
        reply = await client.ask("POST", f"/{version}/models/:generateContent", body)
    assert 400 <= reply.status < 500
    assert reply.json()["error"]["code"] == reply.status


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_another_method_is_405(path: str, method: str):
    route = ROUTES[path]
    if route.method == method:
        assert find_route(path, {}).route is route
        return
    async with opened() as client:
        reply = await client.ask(method, path)
    assert reply.status == 405
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["allow"] == ("GET, HEAD" if route.method == "GET" else route.method)
    assert f"takes {route.method}" in reply.body.decode()
    if route.dialect in ("", "openai-chat"):
        assert reply.error()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/health/live", "/v1/models", "/v1/models/auto", "/metrics"])
async def test_what_can_be_got_can_be_asked_for_by_head(path: str):
    async with opened() as client:
        assert (await client.ask("HEAD", path)).status == 200


async def test_models_lists_aliases_tiers_and_models():
    async with opened() as client:
        reply = await client.ask("GET", "/v1/models")
    listed = reply.json()
    assert listed["object"] == "list"
    assert [(m["id"], m["owned_by"]) for m in listed["data"]] == [
        ("auto", "pointsman"),
        ("fast", "pointsman"),
        ("power", "pointsman"),
        ("fake/small", "fake"),
        ("fake/large", "fake"),
    ]
    assert {m["object"] for m in listed["data"]} == {"model"}


async def test_every_listed_model_can_be_asked_for():
    async with opened() as client:
        for model in (await client.ask("GET", "/v1/models")).json()["data"]:
            assert (await client.chat(model=model["id"])).status == 200


async def test_decide_says_what_would_be_done_and_calls_nobody():
    text = "Architect a microservices migration plan for our Django monolith with 200k LOC"
    async with opened() as client:
        reply = await client.ask("POST", "/v1/decide", chat_body(text))
        assert client.upstream.calls == []
        assert list(client.pipeline.stores.ledger.rows()) == []
    decision = reply.json()
    assert decision.keys() == {
        "tier",
        "model",
        "policy",
        "reason",
        "scores",
        "signals",
        "filtered",
        "would_change",
    }
    assert (decision["tier"], decision["model"]) == ("power", "fake/large")
    assert decision["signals"][0]["phrase"] == "architect"


async def test_decide_heeds_the_tier_that_a_header_pins():
    async with opened() as client:
        pin = {"x-pointsman-tier": "power"}
        reply = await client.ask("POST", "/v1/decide", chat_body("what is a monad"), pin)
    assert reply.json()["tier"] == "power"


async def test_an_answer_carries_every_header_and_names_its_model():
    async with opened() as client:
        reply = await client.chat("convert this list", max_tokens=5)
    assert reply.status == 200
    assert reply.is_whole
    assert reply.headers.keys() >= ANSWER_HEADERS
    assert reply.headers["x-pointsman-model"] == reply.json()["model"] == "fake/small"
    assert reply.headers["x-pointsman-tier"] == "fast"
    assert reply.headers["x-pointsman-cache"] == "miss"
    assert reply.headers["x-pointsman-attempts"] == "1"
    assert reply.headers["x-pointsman-cost-usd"] == "0.000020000"  # 10 tokens at 1, 5 at 2
    assert reply.headers["x-pointsman-policy"] == "learned"
    assert re.fullmatch(r"req_[0-9a-f]{24}", reply.headers["x-request-id"])
    assert reply.headers["cache-control"] == "private, no-store"
    assert reply.headers["vary"] == "authorization, x-api-key, x-goog-api-key, api-key"


async def test_a_stream_carries_what_is_known_at_its_first_byte():
    async with opened() as client:
        reply = await client.chat("convert this list", stream=True)
    assert reply.headers.keys() >= ANSWER_HEADERS - {"x-pointsman-cost-usd"}
    assert reply.headers["content-type"].startswith("text/event-stream")
    frames = reply.frames()
    assert frames[-1] == "[DONE]"
    assert {frame["model"] for frame in frames[:-1]} == {"fake/small"}
    assert "usage" not in frames[-2]


async def test_a_streams_cost_is_in_its_usage_chunk_where_usage_is_asked_for():
    async with opened() as client:
        reply = await client.chat(
            "convert this list", stream=True, stream_options={"include_usage": True}
        )
    usage = reply.frames()[-2]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (10, 5)
    assert usage["cost_usd"] == pytest.approx(0.00002)


async def test_the_same_again_is_a_hit_that_costs_nothing():
    async with opened() as client:
        first = await client.chat("convert this list")
        again = await client.chat("convert this list")
        assert client.upstream.calls == ["fake/small"]
    assert again.headers["x-pointsman-cache"] == "hit"
    assert again.headers["x-pointsman-attempts"] == "0"
    assert float(again.headers["x-pointsman-cost-usd"]) == 0
    assert again.json()["choices"] == first.json()["choices"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_a_streamed_hit_tells_its_cost_at_once():
    async with opened() as client:
        missed = await client.chat(stream=True)
        hit = await client.chat(stream=True)
    assert (missed.headers["x-pointsman-cache"], hit.headers["x-pointsman-cache"]) == (
        "miss",
        "hit",
    )
    assert "x-pointsman-cost-usd" not in missed.headers
    assert float(hit.headers["x-pointsman-cost-usd"]) == 0


@pytest.mark.parametrize(
    ("mode", "outcomes"),
    [("off", ["off", "off"]), ("refresh", ["miss", "miss"]), ("on", ["miss", "hit"])],
)
async def test_a_header_turns_the_cache_off_or_refreshes_it(mode: str, outcomes: list[str]):
    async with opened() as client:
        headers = {"x-pointsman-cache": mode}
        seen = [(await client.chat(headers=headers)).headers["x-pointsman-cache"] for _ in "12"]
    assert seen == outcomes


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"x-pointsman-cache": "maybe"}, "x-pointsman-cache"),
        ({"x-pointsman-tier": "huge"}, "x-pointsman-tier"),
        ({"x-pointsman-tags": "no equals sign"}, "x-pointsman-tags"),
        ({"x-pointsman-tags": "a=" + "x" * 300}, "x-pointsman-tags"),
        ({"x-pointsman-tags": ",".join(f"t{n}=1" for n in range(21))}, "x-pointsman-tags"),
    ],
)
async def test_a_header_that_does_not_fit_is_400_and_named(headers: dict[str, str], named: str):
    async with opened() as client:
        reply = await client.chat(headers=headers)
        assert client.upstream.calls == []
    assert reply.status == 400
    assert named in reply.error()["message"]


async def test_tags_are_kept_in_the_ledger():
    async with opened() as client:
        await client.chat(headers={"x-pointsman-tags": " team = red , run=7,"})
        (row,) = client.pipeline.stores.ledger.rows()
    assert json.loads(row.intent.tags) == {"team": "red", "run": "7"}


@pytest.mark.parametrize(
    "text",
    [
        "convert\r\nx-evil: 1\r\n\r\n<html>",
        "Übersetze: 列表 🚂 convert",
        "convert \x00\x1b[31m\x7f  ",
    ],
)
async def test_no_prompt_gets_out_of_its_header(text: str):
    async with opened() as client:
        for is_stream in (False, True):
            reply = await client.chat(text, stream=is_stream)
            assert reply.status == 200
            for value in reply.headers.values():
                assert value.isascii()
                assert value.isprintable()


async def test_no_signal_of_the_configuration_gets_out_of_its_header():
    signals = '[routing.signals]\nfast = ["列表 übung"]\n'
    async with opened(toml=TOML + signals) as client:
        reply = await client.chat("列表 übung")
    assert reply.headers["x-pointsman-tier"] == "fast"
    assert reply.headers["x-pointsman-reason"].isascii()


@pytest.mark.parametrize("model", ["gpt-nix\r\nx-evil: 1", "modèle", "🚂", ""])
async def test_a_model_that_is_not_there_is_404_and_says_what_there_is(model: str):
    async with opened() as client:
        reply = await client.chat(model=model)
    assert reply.status == 404
    error = reply.error()
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert "fake/small" in error["message"]
    assert all(value.isascii() and value.isprintable() for value in reply.headers.values())


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (UpstreamRateLimited("slow down", retry_after_s=90.0), 429, "90"),
        (UpstreamUnavailable("the upstream answered 500"), 503, None),
    ],
)
async def test_a_spent_chain_tells_the_sdk_not_to_try_again(
    error: UpstreamUnavailable, status: int, retry_after: str | None
):
    async with opened({**SCRIPT, "small": [Scripted(error=error)]}) as client:
        reply = await client.chat(model="fast")
        attempts = len(client.upstream.calls)
    assert reply.status == status
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers.get("retry-after") == retry_after
    assert reply.headers["x-pointsman-model"] == "fake/small"
    assert int(reply.headers["x-pointsman-attempts"]) == attempts == len(reply.error()["attempts"])


async def test_a_stream_that_breaks_ends_in_an_error_and_no_done():
    broken = Scripted(pieces=("half an ",), error=UpstreamReset("the upstream broke off"))
    async with opened({**SCRIPT, "small": [broken]}) as client:
        reply = await client.chat(model="fast", stream=True)
    assert reply.status == 200
    assert reply.is_whole
    last = reply.frames()[-1]
    assert last["error"]["code"] == "upstream_reset"
    assert last["error"]["request_id"] == reply.headers["x-request-id"]
    assert b"[DONE]" not in reply.body


async def test_a_fault_of_our_own_in_a_stream_is_told_in_it_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*args: object) -> bytes:
        raise ZeroDivisionError("SECRET-DETAIL")

    async with opened() as client:
        monkeypatch.setattr("pointsman.core.wire.openai_chat.encode.ChatStreamEncoder._chunk", fail)
        reply = await client.chat(stream=True)
    assert reply.status == 200  # started once; a second start would have failed in Reply
    assert reply.frames()[-1]["error"]["code"] == "internal_error"
    assert b"SECRET-DETAIL" not in reply.body
    assert b"[DONE]" not in reply.body
    assert "ZeroDivisionError" in caplog.text


async def test_a_fault_of_our_own_before_a_reply_is_500_without_a_trace(
    monkeypatch: pytest.MonkeyPatch,
):
    def fail(*args: object) -> bytes:
        raise ZeroDivisionError("SECRET-DETAIL")

    async with opened() as client:
        monkeypatch.setattr("pointsman.core.wire.openai_chat.OpenAIChat.encode_reply", fail)
        reply = await client.chat()
    assert reply.status == 500
    assert reply.error()["code"] == "internal_error"
    assert b"SECRET-DETAIL" not in reply.body


@pytest.mark.parametrize("score", [0, 0.25, 1, 1.0])
async def test_feedback_is_kept_for_a_known_request(score: float):
    async with opened() as client:
        request_id = (await client.chat()).headers["x-request-id"]
        body = json.dumps({"request_id": request_id, "score": score}).encode()
        reply = await client.ask("POST", "/v1/feedback", body)
        assert (reply.status, reply.json()) == (200, {"ok": True})
        assert list(client.pipeline.stores.ledger.feedback()) == [(request_id, score)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"request_id": "req_1", "score": 0.5}', 404),
        (b'{"request_id": "req_1", "score": 1.01}', 400),
        (b'{"request_id": "req_1", "score": -0.01}', 400),
        (b'{"request_id": "req_1", "score": "1"}', 400),
        (b'{"request_id": "req_1", "score": true}', 400),
        (b'{"request_id": "req_1", "score": null}', 400),
        (b'{"request_id": "req_1", "score": NaN}', 400),
        (b'{"request_id": "req_1", "score": 1e400}', 400),
        (b'{"request_id": 1, "score": 1}', 400),
        (b'{"request_id": "req_1"}', 400),
        (b'{"request_id": "req_1", "score": 1, "tenant": "other"}', 400),
        (b"", 400),
        (b"[]", 400),
        (b'{"request_id": "\xff", "score": 1}', 400),
        (b"[" * 100, 400),
    ],
)
async def test_feedback_that_does_not_fit_is_refused(body: bytes, status: int):
    async with opened() as client:
        reply = await client.ask("POST", "/v1/feedback", body)
        assert list(client.pipeline.stores.ledger.feedback()) == []
    assert reply.status == status
    reply.error()


async def test_health_says_only_whether_it_is_well():
    async with opened(keys="k" * 20) as client:
        for path in ("/health/live", "/health/ready"):
            reply = await client.ask("GET", path)
            assert (reply.status, reply.json()) == (200, {"status": "ok"})


async def test_a_draining_server_is_alive_not_ready_and_takes_nothing_new():
    async with opened() as client:
        client.app.services.is_draining = True
        assert (await client.ask("GET", "/health/live")).status == 200
        for reply in (await client.ask("GET", "/health/ready"), await client.chat()):
            assert reply.status == 503
            assert reply.error()["code"] == "draining"
            assert reply.headers["x-should-retry"] == "true"
            assert int(reply.headers["retry-after"]) >= 1
        assert client.upstream.calls == []


async def test_metrics_are_the_sums_of_the_ledger():
    failing = Scripted(error=UpstreamUnavailable("no"))
    broken = Scripted(pieces=("half",), error=UpstreamReset("gone"))
    async with opened({**SCRIPT, "small": [failing, "short", broken]}) as client:
        await client.chat("convert this", model="fast")
        await client.chat("convert this", model="fast")
        await client.chat("other", model="fast", stream=True)
        await client.chat("third", model="power")
        scraped = (await client.ask("GET", "/metrics")).body.decode()
        rows = list(client.pipeline.stores.ledger.rows())
    assert {row.settlement.outcome for row in rows} == {"failed", "answered", "hit"}

    def total(name: str) -> float:
        found = re.findall(rf"^pointsman_{name}_total\{{.*\}} (\S+)$", scraped, re.MULTILINE)
        return sum(map(float, found))

    costs = [row.settlement.cost_nanousd for row in rows]
    called = [row.settlement.usage for row in rows if row.settlement.outcome != "hit"]
    assert total("attempts") == len(rows)
    assert total("cost_usd") == pytest.approx(sum(cost or 0 for cost in costs) / 1e9)
    assert total("cost_unknown") == costs.count(None) == 1
    assert total("tokens") == sum(usage.total_tokens for usage in called)
    count = re.findall(r"^pointsman_attempt_seconds_count\{.*\} (\S+)$", scraped, re.MULTILINE)
    assert sum(map(float, count)) == len(called)


async def test_nothing_runs_on_when_all_is_answered():
    async with opened() as client:
        await client.chat()
        await client.chat(stream=True)
        await client.ask("POST", CHAT, b"{")
        assert client.pipeline._flights.count == 0
