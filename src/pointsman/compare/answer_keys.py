"""Answer keys: a cache's key of one request under many decisions, hashed only once.

Within one snapshot two of these keys are equal where `core.cache_key.answer_keys` gives equal keys.
"""

import msgspec

from pointsman.compare.records import LoggedRequest
from pointsman.core.cache_key import request_keys
from pointsman.core.types import Decision
from pointsman.keeping import may_come_again
from pointsman.kept_answers import normal_key

_DECISIONS_MAX = 4_096
_NUMBER_BYTES = 8


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What all decisions on one request share.

    `exact`, `normal`: its keys, the other for all wordings of one normal form. `context`: what all
    requests share that differ in their last user turn alone, which is `text`, None where it is not
    read otherwise than as it is.
    """

    exact: bytes
    normal: bytes
    context: bytes
    text: str | None
    is_keepable: bool


class AnswerKeys:
    """Makes keys: 32 bytes for what was asked, then a number for how it was decided.

    `also_keep`: see `keeping.may_keep`.
    """

    def __init__(self, also_keep: tuple[str, ...] = ()) -> None:
        self._also = frozenset(also_keep)
        self._made = 0
        self._numbers: dict[tuple[object, ...], bytes] = {}

    def asked(self, record: LoggedRequest) -> Asked | None:
        """Return what all decisions share, None where there is no key to make."""
        request = record.request
        if request is None or request.caller.cache == "off":
            return None
        keys = request_keys(request, target="", params="")
        may_keep = record.is_keepable and may_come_again(request, record.features, keys, self._also)
        normal = normal_key(keys)
        return Asked(
            exact=keys.exact,
            normal=normal or keys.exact,
            context=keys.context,
            text=None if normal is None else keys.asked,
            is_keepable=may_keep,
        )

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
