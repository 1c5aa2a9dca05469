"""Sources: where labelled requests come from: one's own ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

import msgspec

from pointsman.compare.records import LoggedRequest, Outcome
from pointsman.core.types import Features, Reading
from pointsman.ledger import Label, Ledger
from pointsman.scorer.reading import PackedReading
from pointsman.training.labels import text_length

FEEDBACK = "feedback"
_CHARS_PER_TOKEN = 4  # as `core.features` estimates

_reading = msgspec.json.Decoder(PackedReading)
_tags = msgspec.json.Decoder(dict[str, object])


@dataclass(slots=True)
class LedgerFacts:
    """What a ledger's labels are: `audits` compare two tiers, `feedback` tells of one answer.

    `unread` had no reading kept, so nothing can be learned from them.
    """

    audits: int = 0
    feedback: int = 0
    unread: int = 0

    def told(self) -> str:
        """Return in words what these labels can teach and what they cannot."""
        text = (
            f"{self.audits:,} audits, which compare a tier with the strongest, and"
            f" {self.feedback:,} scores of feedback, which tell how good one tier's answers were"
            " but not what another's would have been"
        )
        if self.unread:
            text += (
                f"; {self.unread:,} labels have no reading of their prompt and teach nothing: set"
                " [ledger] store_readings = true"
            )
        return text


def labelled_rows(ledger: Ledger, facts: LedgerFacts) -> Iterator[LoggedRequest]:
    """Yield the ledger's labelled requests that have a reading, audits before feedback.

    A request that was audited is not told of a second time by its feedback. `facts` is filled.
    """
    audited: set[str] = set()
    for label in ledger.labels():
        if label.judge == FEEDBACK:
            if label.request_id in audited:
                continue
            facts.feedback += 1
        else:
            audited.add(label.request_id)
            facts.audits += 1
        reading = _unpacked(label.reading)
        if reading is None:
            facts.unread += 1
        else:
            yield _record(label, reading)


def _unpacked(packed: str | None) -> Reading | None:
    """Return a reading, None where none was kept or another version wrote it."""
    try:
        return None if packed is None else _reading.decode(packed).unpack()
    except ValueError:
        return None


def _record(label: Label, reading: Reading) -> LoggedRequest:
    route = _tags.decode(label.tags or "{}").get("route")
    routes = [] if route is None else [f"route:{route}"]
    keys = [f"key:{label.tenant}"] if label.tenant else []
    return LoggedRequest(
        features=Features(
            text="",
            turns=0,
            input_tokens=round(exp(text_length(reading)) / _CHARS_PER_TOKEN),
            max_tokens=None,
            needs=frozenset(),
            is_tool_loop=False,
            labels=(*routes, *keys),
            reading=reading,
        ),
        model=label.deployment,
        outcomes={
            model: Outcome(quality=quality, cost_nanousd=label.costs_nanousd.get(model))
            for model, quality in label.qualities.items()
        },
    )
