"""Readings: what the scorer reads of a request, kept in place of its text."""

import msgspec

from pointsman.core.types import Features
from pointsman.scorer.reading import pack_reading, read_features


def encode_reading(features: Features) -> str:
    """Return the reading of a request as the ledger keeps it: a packed one, as JSON."""
    return msgspec.json.encode(pack_reading(read_features(features))).decode()
