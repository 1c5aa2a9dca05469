"""Targets of the wire: bodies, streams, replies and errors of every dialect, and what they hold."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec
from tests.core.builders import deployment, snapshot, tier
from tests.fuzz.target import Target, expect

from pointsman.core.cache_key import answer_keys
from pointsman.core.errors import GatewayError, RequestError, UpstreamError
from pointsman.core.events import Event, Finished
from pointsman.core.features import extract
from pointsman.core.types import Caller, CallIds, Decision, Deployment, Request, Step
from pointsman.core.wire import CODECS, Codec
from pointsman.core.wire.history import valid_call_id
from pointsman.core.wire.limits import check_json
from pointsman.core.wire.splice import splice
from pointsman.core.wire.translate import encode_request
from pointsman.policies import PolicySettings, SignalSettings
from pointsman.policies.signals import Signals

GOLDEN = Path(__file__).parents[1] / "golden"
_BODIES = json.loads(Path(__file__).with_name("bodies.json").read_bytes())
# Those that stream; embeddings have neither streams nor prompts.
DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini")
_FOLDERS = {name: name.replace("-", "_") for name in DIALECTS}
_SNAPSHOT = snapshot(*(tier(name, deployment(name)) for name in ("low", "mid", "high")))
_POLICY = Signals(PolicySettings(signals=SignalSettings()))
_DECISION = Decision(tier="low", reason="", deployments=(_SNAPSHOT.tiers[0].deployments[0].id,))
_CALL_IDS = (
    CallIds(),
    CallIds(chars_max=9, pattern="[a-zA-Z0-9]+", chars_exact=True),
)


def wire_targets() -> list[Target]:
    """Return the targets."""
    found: list[Target] = []
    for name, codec in CODECS.items():
        seeds = partial(request_seeds, name)
        found.append(
            Target(f"request {name}", partial(read_request, codec), seeds, (RequestError,), True)
        )
        found.append(Target(f"error {name}", partial(read_error, codec), error_seeds, (), True))
    for name in DIALECTS:
        codec = CODECS[name]
        refusals = (UpstreamError,)
        streams, replies = partial(golden, name, "sse"), partial(golden, name, "json")
        found += [
            Target(f"stream {name}", partial(read_stream, codec), streams, refusals),
            Target(f"reply {name}", partial(read_reply, codec), replies, refusals, True),
        ]
        if codec.count_path("m"):
            count = partial(read_count, codec)
            found.append(Target(f"count {name}", count, count_seeds, refusals, True))
    unread = (msgspec.DecodeError, UnicodeDecodeError)
    return [
        *found,
        Target("splice", splice_body, all_requests, unread, True),
        Target("limits", check_json, all_requests, (RequestError,), True),
        Target("routing text", route_text, texts),
        Target("call ids", call_ids, texts),
    ]  # fmt: skip


def read_request(codec: Codec, body: bytes) -> None:
    """Read a body as the server does, and write it for upstreams of every dialect."""
    check_json(body)
    is_stream = len(body) % 2 == 0
    named = "auto" if codec.name == "gemini" else ""
    caller = Caller(tenant="t", model=named, is_stream=is_stream if named else None)
    request = codec.decode_request(body, caller)
    features = extract(request)
    expect(features.input_tokens >= 0, "an estimate is below 0")
    _POLICY.decide(features, _SNAPSHOT)
    key = answer_keys(request, _DECISION, _SNAPSHOT).exact
    expect(len(key) == 32, "a key has another length")
    if codec.name == "openai-embeddings":
        _write_for(request, "openai-chat")
        return
    codec.count_request(body)
    refused: RequestError | None = None
    for name in DIALECTS:
        try:
            _write_for(request, name)
        except RequestError as error:
            refused = error
    if refused is not None:
        expect(refused.message, "a refusal without a word")
        raise refused


def _write_for(request: Request, dialect: str) -> None:
    to = Deployment(
        provider="p", model="m", dialect=dialect, base_url="http://x", call_ids=_CALL_IDS[1]
    )
    written = encode_request(request, Step(tier="low", deployment=to, max_tokens=9))
    expect(isinstance(json.loads(written.body), dict), "what goes upstream is no JSON object")


def read_stream(codec: Codec, data: bytes) -> None:
    """Decode a stream whole and cut at random, and tell it to clients of every dialect."""
    whole, error = _fed(codec, [data])
    cut, cut_error = _fed(codec, _cut(data))
    expect(whole == cut, "what a stream says depends on where it is cut")
    expect(type(error) is type(cut_error), f"whole: {error!r}; cut: {cut_error!r}")
    ends = [event for event in whole if isinstance(event, Finished)]
    expect(len(ends) == (error is None), f"{len(ends)} ends beside {error!r}")
    _told(whole, error, is_stream=True)
    if error is not None:
        raise error


def read_reply(codec: Codec, body: bytes) -> None:
    """Decode a whole reply, and tell it to clients of every dialect."""
    events = list(codec.decode_reply(body))
    expect(sum(isinstance(event, Finished) for event in events) == 1, "a reply ends once")
    _told(events, None, is_stream=False)


def read_count(codec: Codec, body: bytes) -> None:
    """Read a count's reply."""
    expect(codec.read_count(body) >= 0, "a count below 0")


def read_error(codec: Codec, data: bytes) -> None:
    """Read an error reply of any status, and tell it in every dialect."""
    status = 300 + (len(data) * 7 + sum(data[:3])) % 300
    error = codec.read_error(status, data, None)
    expect(isinstance(error, UpstreamError), f"{error!r} is no error of an upstream")
    _tell_error(error)


def splice_body(body: bytes) -> None:
    """Set, add and remove fields; what was not named stays as it was."""
    changes = {"model": b'"x"', "stream": None, "max_tokens": b"1"}
    new = msgspec.json.decode(splice(body, changes), type=dict[str, msgspec.Raw])
    old = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    expect(bytes(new["model"]) == b'"x"', "a field was not set")
    expect("stream" not in new, "a field was not removed")
    for name in old.keys() - changes:
        expect(bytes(old[name]) == bytes(new[name]), f"{name!r} changed")


def route_text(data: bytes) -> None:
    """Decide on a text."""
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": data.decode("utf-8", "replace")}],
    }
    codec = CODECS["openai-chat"]
    features = extract(codec.decode_request(json.dumps(body).encode(), Caller()))
    decision = _POLICY.decide(features, _SNAPSHOT)
    expect(decision.tier in _SNAPSHOT.names, f"no tier {decision.tier!r}")
    _POLICY.would_change(decision, features, _SNAPSHOT)
    for signal in decision.signals:
        expect(0 <= signal.start < len(features.text), "a signal fired outside the text")


def call_ids(data: bytes) -> None:
    """Make an id fit each rule."""
    made = (
        data.decode("utf-8", "surrogatepass") if data.isascii() else data.decode("utf-8", "replace")
    )
    for rule in _CALL_IDS:
        found = valid_call_id(made, rule)
        expect(re.fullmatch(rule.pattern, found), f"{found!r} is no id")
        expect(len(found) <= rule.chars_max, f"{found!r} is too long")
        expect(found == valid_call_id(found, rule), "an id that fits is changed")


def _fed(codec: Codec, pieces: Iterable[bytes]) -> tuple[list[Event], UpstreamError | None]:
    """Return what a stream says, and the error that it ends in: what came before that counts."""
    decoder, events = codec.stream_decoder(), list[Event]()
    try:
        for piece in pieces:
            for event in decoder.feed(piece):
                events.append(event)
        for event in decoder.finish():
            events.append(event)
    except UpstreamError as error:
        return events, error
    return events, None


def _cut(data: bytes) -> Iterator[bytes]:
    rng = Random(len(data))
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 7, 64, 1000))
        yield data[at : at + size]
        at += size


def _told(events: Sequence[Event], error: GatewayError | None, *, is_stream: bool) -> None:
    for name, request in _ASKING.items():
        codec = CODECS[name]
        if is_stream:
            encoder = codec.stream_encoder(request, "p/m")
            for event in events:
                encoder.encode(event)
            if error is not None:
                encoder.error(error, "r")
        elif error is None:
            json.loads(codec.encode_reply(events, request, "p/m"))


def _tell_error(error: GatewayError) -> None:
    for codec in CODECS.values():
        expect(isinstance(json.loads(codec.error_body(error, "r")), dict), "an error is no object")


def golden(dialect: str, ending: str) -> list[bytes]:
    """Return the replies of a dialect that are kept as examples, small ones."""
    files = sorted((GOLDEN / _FOLDERS[dialect]).glob(f"*.{ending}"))
    found = [file.read_bytes() for file in files if ".request." not in file.name]
    return [body for body in found if len(body) <= 8192]


def request_seeds(dialect: str) -> list[bytes]:
    """Return bodies of a dialect: the simplest, one with all that it has, and the examples."""
    folder = GOLDEN / _FOLDERS.get(dialect, "none")
    kept = [file.read_bytes() for file in sorted(folder.glob("*.request.json"))]
    return [json.dumps(body).encode() for body in _BODIES[dialect]] + [
        body for body in kept if len(body) <= 8192
    ]


def all_requests() -> list[bytes]:
    """Return the bodies of all dialects."""
    return [body for dialect in CODECS for body in request_seeds(dialect)]


def error_seeds() -> list[bytes]:
    """Return error bodies as each provider has them."""
    return [body.encode() for body in _BODIES["errors"]]


def count_seeds() -> list[bytes]:
    """Return counts as each provider tells them."""
    return [b'{"input_tokens":7}', b'{"totalTokens":7,"promptTokensDetails":[]}']


def texts() -> list[bytes]:
    """Return texts to route."""
    return [
        b"what is the capital of France?", b"call_abc123", b"toolu_01AbC",
        b"Please refactor entire module and review this codebase.",
        "\u0130stanbul'da hava nas\u0131l? translate\u00a0this".encode(),
        b"fix  typo\tfix typo " * 20,
        b"security " * 100 + b"audit", b"\x00" * 50,
    ]  # fmt: skip


_ASKING = {
    name: CODECS[name].decode_request(
        json.dumps(_BODIES[name][0]).encode(), Caller(model="auto" if name == "gemini" else "")
    )
    for name in DIALECTS
}
