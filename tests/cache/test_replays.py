"""Replays: an answer of the golden corpus that was kept is given again as if it had just come.

Recorded as a stream or whole, replayed as either, to a client of its own dialect or another.
"""

from itertools import product
from pathlib import Path

import pytest
from tests.core.builders import deployment, snapshot, tier
from tests.properties.test_answers_across_dialects import (
    DIALECTS,
    GOLDEN,
    asked,
    decoded,
    encoded,
    told,
)

from pointsman.cache import CacheSettings
from pointsman.cache.entry import Entry
from pointsman.cache.memory import MemoryCache
from pointsman.clock import SystemClock
from pointsman.core.answer import AnswerBuilder
from pointsman.core.cache_key import answer_keys
from pointsman.core.errors import UpstreamError
from pointsman.core.events import Event, Finished
from pointsman.core.types import Caller, Decision
from pointsman.kept_answers import KeptAnswers
from pointsman.recording import free

ANSWERS = sorted(
    (dialect, path)
    for dialect in DIALECTS
    for path in (GOLDEN / dialect.replace("-", "_")).iterdir()
    if path.suffix in {".sse", ".json"} and ".request" not in path.name
)
each_answer = pytest.mark.parametrize(
    ("dialect", "path"), ANSWERS, ids=lambda it: it.name if isinstance(it, Path) else it
)


def events_of(dialect: str, path: Path) -> list[Event]:
    """Return the answer's events; skips one that is none."""
    try:
        events = list(decoded(dialect, [path.read_bytes()], is_stream=path.suffix == ".sse"))
    except UpstreamError:
        pytest.skip("an answer that breaks off is not kept")
    assert isinstance(events[-1], Finished)
    return events


def kept(dialect: str, events: list[Event]) -> list[Event]:
    """Return the events as the cache gives them back to another wording."""
    clock, place = SystemClock(), snapshot(tier("only", deployment("p/m")))
    answers = KeptAnswers.of(MemoryCache(1 << 24, 60), CacheSettings(), clock)
    decision = Decision(tier="only", reason="", deployments=("p/m",))
    keys = answer_keys(asked(dialect, is_stream=True), decision, place)
    entry = Entry(
        events=tuple(events),
        tenant="",
        tier="only",
        deployment="p/m",
        policy="",
        reason="",
        created_at_s=clock.wall_ns() / 1e9,
        request_id="r",
    )
    answers.put(keys, entry)
    hit = answers.find(keys, Caller())
    assert hit is not None and hit.kept is not None
    return list(hit.kept.events)


@each_answer
def test_every_client_gets_the_bytes_that_it_would_have_got(dialect: str, path: Path):
    events = events_of(dialect, path)
    replayed = kept(dialect, events)
    assert replayed == [free(event) for event in events]
    for client, is_stream in product(DIALECTS, (True, False)):
        fresh = encoded(client, map(free, events), is_stream=is_stream)
        assert encoded(client, replayed, is_stream=is_stream) == fresh


@each_answer
@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
def test_its_client_reads_the_same_text_calls_reasoning_and_usage(
    dialect: str, path: Path, is_stream: bool
):
    events = events_of(dialect, path)
    sent = encoded(dialect, kept(dialect, events), is_stream=is_stream)
    heard = list(decoded(dialect, [sent], is_stream=is_stream))
    assert told(heard, dialect) == told(events, dialect)


def test_the_corpus_has_what_is_easily_lost():
    found = [AnswerBuilder() for _ in ANSWERS]
    for builder, (dialect, path) in zip(found, ANSWERS, strict=True):
        try:
            for event in decoded(dialect, [path.read_bytes()], is_stream=path.suffix == ".sse"):
                builder.add(event)
        except UpstreamError:
            continue
    assert sum(bool(builder.tool_calls) for builder in found) > 5
    assert sum(bool(builder.reasoning) for builder in found) > 5
    usages = [builder.usage for builder in found if builder.usage]
    assert sum(usage.reasoning_tokens > 0 for usage in usages) > 3
    assert sum(usage.cached_input_tokens > 0 for usage in usages) > 3
