"""What assembling a pipeline makes that no other test looks at by itself."""

from itertools import pairwise

import pytest

from pointsman import assembly
from pointsman.assembly import new_request_id

NOON_NS = 1_795_000_000 * 10**9


def test_ids_made_later_stand_later_and_no_two_are_the_same(monkeypatch: pytest.MonkeyPatch):
    made = []
    for seconds in range(100):
        monkeypatch.setattr(assembly, "time_ns", lambda now=NOON_NS + seconds * 10**9: now)
        made.append([new_request_id() for _ in range(100)])
    assert all(max(early) < min(late) for early, late in pairwise(made))
    assert len({each for some in made for each in some}) == 10_000
