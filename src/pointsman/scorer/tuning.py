"""Tuning: what `pointsman train` installs: weights, measured models and the certificate."""

import zlib
from base64 import b85decode
from collections.abc import Mapping
from typing import Annotated

import msgspec

from pointsman.scorer.certificate import Certificate
from pointsman.scorer.heads import unpack_heads
from pointsman.scorer.model import Scorer, shipped

FORMAT = 1


class Measured(msgspec.Struct, frozen=True):
    """How good one model was in one group: mean score (0..1) over `labels` requests."""

    quality: Annotated[float, msgspec.Meta(ge=0, le=1)]
    labels: int


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `scorer`: version of the weights. `heads`: those that differ, in base 85; "" none.

    `measured`: by model (`provider/model`), then by group. `trained_on`: ISO date. `labels_needed`:
    how many more held-out labels the groups need that have too few to be in the certificate.
    """

    format: int = FORMAT
    scorer: str
    trained_on: str
    data: str
    labels: int
    heads: str = ""
    measured: Mapping[str, Mapping[str, Measured]] = {}
    certificate: Certificate | None = None
    labels_needed: Mapping[str, int] = {}

    def build_scorer(self) -> Scorer:
        """Return the scorer with the weights of this file. Raises ValueError when damaged."""
        if not self.heads:
            return shipped()
        try:
            return Scorer(unpack_heads(b85decode(self.heads), base=shipped().heads))
        except (ValueError, zlib.error) as error:
            raise ValueError(f"its weights are damaged: {error}") from error


def decode_tuning(data: bytes) -> Tuning:
    """Return the tuning of a file's bytes. Raises ValueError saying what is wrong with them."""
    try:
        tuning = msgspec.json.decode(data, type=Tuning)
    except msgspec.MsgspecError as error:
        raise ValueError(f"is no tuning of pointsman: {error}") from error
    if tuning.format != FORMAT:
        raise ValueError(f"has format {tuning.format}, and this version reads {FORMAT}")
    return tuning


def encode_tuning(tuning: Tuning) -> bytes:
    """Return the bytes that `decode_tuning` reads."""
    return msgspec.json.format(msgspec.json.encode(tuning))
