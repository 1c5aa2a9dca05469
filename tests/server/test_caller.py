"""What of a request's headers is read, and what of them may ever go upstream."""

import msgspec
import pytest

from pointsman.core.errors import RequestError
from pointsman.core.grants import Grant
from pointsman.server.caller import read_caller, session_of
from pointsman.server.exchange import Exchange

SENT = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "fine-grained-tool-streaming-2025-05-14,context-1m",
    "openai-beta": "responses=v1",
    "authorization": "Bearer a-key-of-ours",
    "x-api-key": "a-key-of-ours",
    "cookie": "session=1",
    "user-agent": "claude-cli/2.1",
    "x-claude-code-session-id": "54c1eb09",
    "openai-organization": "org-1",
    "x-forwarded-for": "10.0.0.1",
}


def exchange(headers: dict[str, str], named: str = "") -> Exchange:
    return Exchange(
        method="POST",
        path="/v1/messages",
        headers=headers,
        body=b"",
        request_id="req_1",
        named=named,
    )


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("anthropic", {"anthropic-version", "anthropic-beta"}),
        ("openai-chat", {"openai-beta"}),
        ("openai-responses", {"openai-beta"}),
        ("gemini", set()),
        ("openai-embeddings", set()),
    ],
)
def test_only_a_dialects_own_headers_go_on_and_no_key_ever(dialect: str, names: set[str]):
    handed_on = dict(read_caller(exchange(SENT), dialect).headers)
    assert handed_on == {name: SENT[name] for name in names}


@pytest.mark.parametrize("value", ["2023\r\nx-evil: 1", "v\xe4", "\x00"])
def test_a_header_that_no_request_can_carry_is_refused(value: str):
    with pytest.raises(RequestError, match="anthropic-version"):
        read_caller(exchange({"anthropic-version": value}), "anthropic")


@pytest.mark.parametrize(
    ("headers", "session"),
    [
        pytest.param({}, "", id="none"),
        pytest.param({"x-pointsman-session": "s"}, "s", id="ours"),
        pytest.param({"x-pointsman-session": "s", "thread-id": "t"}, "s", id="ours first"),
        pytest.param({"session-id": "a", "thread-id": "t"}, "t", id="a thread of Codex"),
        pytest.param({"session_id": "a", "conversation_id": "t"}, "t", id="an older Codex"),
        pytest.param({"session-id": "a"}, "", id="a session of Codex, with its subagents"),
        pytest.param({"x-claude-code-session-id": "a"}, "", id="Claude Code, with its titles"),
    ],
)
def test_a_session_is_taken_where_it_names_one_conversation(headers: dict[str, str], session: str):
    assert session_of(headers) == session


def test_what_the_path_says_goes_with_the_caller():
    caller = read_caller(exchange({}, named="openai/gpt-4o"), "gemini", is_stream=True)
    assert (caller.model, caller.is_stream) == ("openai/gpt-4o", True)


def test_a_keys_own_tags_stand_over_what_the_client_says():
    grant = Grant(tags={"team": "search", "plan": "basic"})
    sent = exchange({"x-pointsman-tags": "team=sales, run=7"})
    caller = read_caller(msgspec.structs.replace(sent, grant=grant), "anthropic")
    assert dict(caller.tags) == {"team": "search", "plan": "basic", "run": "7"}
    assert caller.grant is grant
