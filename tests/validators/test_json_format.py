"""JSON format: the client's own parser and schema, and nothing is ever fetched."""

import http.server
import threading

import msgspec
import pytest
from tests.validators.asks import ask, unfinished, whole

from pointsman.core.types import ResponseFormat
from pointsman.validators import Ask
from pointsman.validators.json_format import JsonFormat, compile_schema
from pointsman.validators.schema_cost import depth_of, visits

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value"],
        }
    },
}


def asked(schema: object = None, max_tokens: int | None = None) -> Ask:
    raw = None if schema is None else msgspec.json.encode(schema)
    return ask(response_format=ResponseFormat(schema=raw), max_tokens=max_tokens)


@pytest.mark.parametrize(
    ("text", "schema", "why"),
    [
        pytest.param("Sure! {}", None, "does not parse", id="a preamble"),
        pytest.param('{"a": 1', None, "does not parse", id="cut"),
        pytest.param("", None, "does not parse", id="empty"),
        pytest.param("{'a': 1}", None, "does not parse", id="single quotes"),
        pytest.param('```json\n{"a": 1}\n```', None, "in a fence", id="fenced"),
        pytest.param("{} {}", None, "does not parse", id="two values"),
        pytest.param('"\ud800"', None, "does not parse", id="half a character"),
        pytest.param('{"name": "Al"}', PERSON, '"age" is a required', id="a key is missing"),
        pytest.param('{"name": "Al", "age": "9"}', PERSON, "$.age: the value", id="wrong type"),
        pytest.param('{"value": 1, "left": {}}', TREE, "$.left", id="deep down"),
        pytest.param("1", False, "schema", id="nothing is allowed"),
        pytest.param('"b"', {"pattern": "^a$"}, "$", id="a pattern"),
    ],
)
def test_is_rejected(text, schema, why):
    assert why in JsonFormat().check(whole(text), asked(schema))


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        pytest.param("{}", None, id="an object"),
        pytest.param(' \n{"a": [1, 2.5e3, null]}\n', None, id="white space around"),
        pytest.param('{"name": "Al", "age": 9}', PERSON, id="meets the schema"),
        pytest.param('{"name": "Al", "age": 9.0}', PERSON, id="9.0 is an integer"),
        pytest.param('{"value": 1, "left": {"value": 2, "right": null}}', TREE, id="a tree"),
        pytest.param("1e999", {"type": "string"}, id="a number out of range"),
        pytest.param("[" * 5000 + "]" * 5000, {"type": "string"}, id="too deep"),
        pytest.param('"x"', {"format": "email"}, id="a format is an annotation"),
    ],
)
def test_is_accepted(text, schema):
    assert JsonFormat().check(whole(text), asked(schema)) == ""


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(b"{", id="not JSON"),
        pytest.param(b"[]", id="not a schema"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b'{"type": "objekt"}', id="unknown type"),
        pytest.param(b'{"$ref": "#/$defs/none"}', id="dangling"),
        pytest.param(b'{"$ref": "#"}', id="refers to itself"),
        pytest.param(b'{"pattern": "(?=a)"}', id="a pattern that needs backtracking"),
        pytest.param(b'{"pattern": "(a{1000}){1000}"}', id="a pattern that fills the memory"),
        pytest.param(b'{"$ref": "file:///etc/passwd"}', id="a file"),
        pytest.param(b'{"$schema": "http://127.0.0.1:9/meta"}', id="a strange dialect"),
        pytest.param(b'{"not":' * 2000 + b"{}" + b"}" * 2000, id="too deep"),
        pytest.param(b'{"title": "' + b"x" * 200_000 + b'", "type": "string"}', id="too large"),
    ],
)
def test_a_schema_that_cannot_be_used_rejects_nothing_but_what_does_not_parse(schema):
    judged = ask(response_format=ResponseFormat(schema=schema))
    assert JsonFormat().check(whole("{}"), judged) == ""
    assert JsonFormat().check(whole("{"), judged) != ""


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$schema", "$id"])
def test_no_reference_is_ever_fetched(keyword):
    calls: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{server.server_port}/schema.json"
        try:
            reason = JsonFormat().check(whole("1"), asked({keyword: url, "items": {"$ref": "b"}}))
        finally:
            server.shutdown()
    assert reason == ""
    assert calls == []


@pytest.mark.parametrize("combination", ["allOf", "anyOf", "oneOf"])
def test_a_schema_that_doubles_at_every_reference_is_not_run(combination):
    links = {f"a{i}": {combination: [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**links, "a60": {"type": "string"}}}
    assert visits(schema, 0) > 2**59
    assert JsonFormat().check(whole("1"), asked(schema)) == ""


def test_a_schema_that_doubles_at_every_level_is_not_run_on_a_deep_answer():
    either = [{"items": {"$ref": "#"}}, {"minItems": 1, "items": {"$ref": "#"}}]
    schema = {"oneOf": [*either, {"type": "string"}]}
    assert JsonFormat().check(whole("1"), asked(schema)) != ""
    assert visits(schema, 1) < 100
    assert JsonFormat().check(whole("[" * 200 + "1" + "]" * 200), asked(schema)) == ""


def test_a_trees_branches_are_different_places_and_do_not_multiply():
    assert visits(TREE, 20) < 1000


@pytest.mark.parametrize(("value", "depth"), [(1, 0), ([], 0), ({"a": [[]]}, 2), ([1, [2]], 2)])
def test_depth_counts_the_steps_down(value, depth):
    assert depth_of(value) == depth


def test_a_compiled_schema_is_kept_and_only_so_many():
    compile_schema.cache_clear()
    for _ in range(3):
        JsonFormat().check(whole("{}"), asked(PERSON))
    assert compile_schema.cache_info().misses == 1
    for number in range(200):
        compile_schema(b'{"const": %d}' % number)
    assert compile_schema.cache_info().currsize == 64


@pytest.mark.parametrize(
    ("draft", "judged"),
    [
        pytest.param(unfinished("Sure!"), asked(), id="still coming"),
        pytest.param(whole("hm", "tool_calls", has_tool_call=True), asked(), id="a tool call"),
        pytest.param(whole('{"a', "length"), asked(max_tokens=2), id="cut at the client's limit"),
        pytest.param(whole("Sure!"), ask(), id="no JSON was asked for"),
    ],
)
def test_is_not_judged(draft, judged):
    assert JsonFormat().check(draft, judged) == ""
