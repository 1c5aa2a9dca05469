"""What tests of replies do with events, whatever their dialect."""

from collections.abc import Iterable

import msgspec

from pointsman.core.answer import AnswerBuilder
from pointsman.core.events import Event, Note


def built(events: Iterable[Event]) -> AnswerBuilder:
    builder = AnswerBuilder()
    for event in events:
        builder.add(event)
    return builder


def frames_gone(events: Iterable[Event]) -> list[Event]:
    """Return the events without their frames, and without notes: what they say to anyone."""
    kept = [event for event in events if not isinstance(event, Note)]
    return [msgspec.structs.replace(event, frame=None) for event in kept]
