"""Answer keys: the exact cache's key of one request under many decisions, hashed only once.

Within one snapshot two of these keys are equal where `core.cache_key.answer_keys` gives equal exact
keys.
"""

from pointsman.compare.records import LoggedRequest
from pointsman.core.cache_key import cache_key
from pointsman.core.types import Decision
from pointsman.core.wire import CODECS

_DECISIONS_MAX = 4_096
_NUMBER_BYTES = 8


class AnswerKeys:
    """Makes keys: 32 bytes for what was asked, then a number for how it was decided."""

    def __init__(self) -> None:
        self._made = 0
        self._numbers: dict[tuple[object, ...], bytes] = {}

    def asked(self, record: LoggedRequest) -> bytes | None:
        """Return the part that all decisions share, None where there is no key to make."""
        request = record.request
        if request is None or request.caller.cache == "off":
            return None
        shape = CODECS[request.dialect].shape(request)
        return cache_key(request, shape=shape, target="", params="")

    def key(self, asked: bytes, decision: Decision) -> bytes:
        """Return the key of the answer that a decision leads to."""
        how = (
            decision.tier,
            decision.deployments,
            decision.may_escalate,
            decision.must_verify,
            decision.policy == "pinned",
        )
        number = self._numbers.get(how)
        if number is None:
            if len(self._numbers) >= _DECISIONS_MAX:
                self._numbers.clear()
            self._made += 1
            number = self._numbers[how] = self._made.to_bytes(_NUMBER_BYTES, "big")
        return asked + number
