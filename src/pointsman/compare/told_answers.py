"""Told answers: whether a kept answer would have been wrong, as far as the data can tell.

Labels tell it surely: two requests with one `answer_id` have one right answer, with two they have
not. Recorded answers tell it at most: where the words differ, the later request may have had
another right answer, or the model only worded the same one otherwise, as it does at every call.
"""

from hashlib import blake2b

import msgspec

_DIGEST_BYTES = 16
_ENDS = " .!?…"


class ToldAnswer(msgspec.Struct, frozen=True, gc=False):
    """The answer to one request. `digest`: equal for equal ones. `is_label`: somebody judged it."""

    digest: bytes
    is_label: bool

    @classmethod
    def of_label(cls, answer_id: str) -> "ToldAnswer":
        """Return the answer that a label names."""
        return cls(_digest(answer_id), is_label=True)

    @classmethod
    def of_words(cls, text: str) -> "ToldAnswer":
        """Return the answer that was given, whatever its case, spaces and end."""
        return cls(_digest(" ".join(text.split()).strip(_ENDS).casefold()), is_label=False)

    def is_other(self, kept: "ToldAnswer | None") -> bool | None:
        """Return whether a kept answer is another one, None where that cannot be told."""
        if kept is None or kept.is_label != self.is_label:
            return None
        return kept.digest != self.digest


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
