"""Print how long hostile input takes: 100 kB and 1 MB of each, so that ten times is linear.

Run: .venv/bin/python bench/hostile_text.py
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import RequestError
from pointsman.core.events import ToolCallDelta
from pointsman.core.types import Deployment, Features, Snapshot, Tier
from pointsman.core.wire.limits import check_json
from pointsman.core.wire.splice import splice
from pointsman.core.wire.sse import SseSplitter, parse_frame
from pointsman.policies import PolicySettings
from pointsman.policies.signals import Signals

SIZES = (100_000, 1_000_000)
RUNS = 3
PIECE_BYTES = 1_000

MODEL = Deployment(provider="p", model="m", dialect="openai-chat", base_url="")
WORLD = Snapshot(
    tiers=tuple(Tier(name=name, deployments=(MODEL,)) for name in ("fast", "mid", "power")),
    default_tier="mid",
)
SIGNALS = Signals(PolicySettings())


def decide(text: str) -> None:
    """Run the whole policy, as for each request."""
    facts = Features(
        text=text,
        turns=1,
        input_tokens=0,
        max_tokens=None,
        needs=frozenset(),
        is_tool_loop=False,
    )
    SIGNALS.decide(facts, WORLD)


def check(body: bytes) -> None:
    """Check a body that has enough brackets in it to be walked through."""
    with suppress(RequestError):
        check_json(b"[]" * 65 + body)


def feed(body: bytes) -> None:
    """Read one frame that comes in small pieces."""
    splitter = SseSplitter()
    for start in range(0, len(body), PIECE_BYTES):
        splitter.feed(body[start : start + PIECE_BYTES])


def build(size: int) -> None:
    """Put together a tool call that comes ten characters at a time."""
    builder = AnswerBuilder()
    for _ in range(size // 10):
        builder.add(ToolCallDelta(index=0, arguments="0123456789"))
    assert builder.tool_calls


def cases(size: int) -> Mapping[str, Callable[[], object]]:
    """Return what is timed, by name."""
    texts = {
        "what": "what ",
        "checklist": "checklist",
        "checklists": "checklist ",
        "blanks": " ",
        "phrase, cut short": "review this ",
        "power": "architect ",
        "prose": "Tell me about the weather in the north, please. ",
    }
    bodies = {
        "escaped quotes, no end": b'\\"',
        "quotes": b'"',
        "pairs": b"[]",
        "digits": b"1" * 64 + b" ",
    }
    timed: dict[str, Callable[[], object]] = {}
    for name, text in texts.items():
        timed[f"signals: {name}"] = partial(decide, text * (size // len(text)))
    timed["signals: one phrase, then blanks"] = partial(decide, "what" + " " * size)
    for name, body in bodies.items():
        timed[f"limits: {name}"] = partial(check, b'"' + body * (size // len(body)))
    timed["sse: one frame in 1 kB pieces"] = partial(feed, b"data: " + b"a" * size)
    timed["sse: frame of data lines"] = partial(parse_frame, b"data\n" * (size // 5))
    timed["splice: long key"] = partial(splice, b'{"%s":1}' % (b"k" * size), {"m": b"1"})
    timed["answer: tool call in 10 B pieces"] = partial(build, size)
    return timed


def best_ms(run: Callable[[], object]) -> float:
    """Return the shortest of a few runs."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times) * 1_000


def main() -> None:
    """Print the table."""
    small, large = (cases(size) for size in SIZES)
    print(f"{'':36}{'100 kB, ms':>12}{'1 MB, ms':>12}{'times':>8}")
    for name in small:
        first, second = best_ms(small[name]), best_ms(large[name])
        print(f"{name:36}{first:12.2f}{second:12.2f}{second / first:8.1f}")


if __name__ == "__main__":
    main()
