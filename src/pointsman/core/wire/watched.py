"""Watched: the fields of a body that most requests have none of, found while it is read."""

from operator import attrgetter

import msgspec

from pointsman.core.wire.steering import Steered

_ABSENT = msgspec.Raw()


class Watched(Steered):
    """What `steering` and `premium` are about, of which only whether it is there is read here."""

    service_tier: msgspec.Raw = _ABSENT
    serviceTier: msgspec.Raw = _ABSENT  # noqa: N815
    speed: msgspec.Raw = _ABSENT


_watched = attrgetter(*Watched.__struct_fields__)
_NONE = _watched(Watched())


def is_plain(body: Watched) -> bool:
    """Return whether a body has none of these fields."""
    found: object = _watched(body)
    return found == _NONE
