"""Facts for the core's tests: only what a test does not care about is filled in."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from pointsman.core.events import Event
from pointsman.core.types import (
    Caller,
    Capability,
    Deployment,
    Features,
    Need,
    Request,
    Snapshot,
    Step,
    Tier,
)
from pointsman.core.wire import CODECS, Codec

CHAT = CODECS["openai-chat"]


def deployment(name: str, **capability: object) -> Deployment:
    """Return the deployment `provider/model`; capabilities are as in `Capability`."""
    provider, _, model = name.partition("/")
    return Deployment(
        provider=provider,
        model=model,
        dialect="openai-chat",
        base_url="http://upstream.test/v1",
        capability=Capability(**capability),  # type: ignore[arg-type]
    )


def tier(name: str, *deployments: Deployment, max_tokens: int | None = None) -> Tier:
    own = deployments or (deployment(f"acme/{name}"),)
    return Tier(name=name, deployments=own, max_tokens=max_tokens)


def snapshot(*tiers: Tier, default: str = "", others: Iterable[Deployment] = ()) -> Snapshot:
    return Snapshot(
        tiers=tiers,
        default_tier=default or tiers[len(tiers) // 2].name,
        others=tuple(others),
    )


def features(
    text: str = "",
    *,
    words: int | None = None,
    input_tokens: int = 10,
    max_tokens: int | None = None,
    needs: Iterable[Need] = (),
) -> Features:
    return Features(
        text=text,
        words_told=words,
        turns=1,
        input_tokens=input_tokens,
        max_tokens=max_tokens,
        needs=frozenset(needs),
        is_tool_loop=False,
    )


def chat_request(body: bytes) -> Request:
    return CHAT.decode_request(body, Caller())


def step(to: Deployment, max_tokens: int | None = None) -> Step:
    return Step(tier="fast", deployment=to, max_tokens=max_tokens)


def decode_stream(chunks: Iterable[bytes], codec: Codec = CHAT) -> Iterator[Event]:
    """Yield the events of a streamed reply that comes in these chunks."""
    decoder = codec.stream_decoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.finish()


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Return the body in pieces, cut at these places; some pieces may be empty."""
    edges = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]
