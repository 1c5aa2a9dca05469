from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pointsman.cache.semantic.faq import Allowance, Faq
from pointsman.core.errors import ConfigError

shares = st.sampled_from([0.01, 0.05, 0.3])
events = st.lists(st.sampled_from(["request", "right", "wrong"]), max_size=400)


def at(cosine: float) -> NDArray[np.float32]:
    """Return the vector at this cosine to `at(1.0)`."""
    return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)


def close_to(cosine: float) -> Any:
    return pytest.approx(cosine)


def asked(faq: Faq, vector: NDArray[np.float32], times: int) -> None:
    for _ in range(times):
        assert faq.find(vector) is None


def opened(wrong_share_max: float = 0.1) -> Faq:
    """Return one that has met enough requests to answer many."""
    faq = Faq(wrong_share_max)
    asked(faq, at(0.0), int(10 / wrong_share_max))
    return faq


@given(share=shares, events=events)
def test_never_more_than_the_share_of_the_requests_can_turn_out_wrong(share, events):
    allowance, requests, wrong, untold = Allowance(share), 0, 0, 0
    for event in events:
        if event == "request":
            requests += 1
            if allowance.count():
                allowance.answered()
                untold += 1
        elif untold:
            allowance.told(is_right=event == "right")
            untold -= 1
            wrong += event == "wrong"
        assert wrong + untold <= share * requests


def test_the_first_answer_comes_when_one_wrong_one_would_be_within_the_share():
    faq = Faq(0.1)
    faq.keep(b"x", at(1.0))
    asked(faq, at(1.0), 9)
    assert faq.find(at(1.0)) == (b"x", close_to(1.0))


def test_a_wrong_answer_raises_the_threshold_by_what_it_falls_over_the_requests_it_takes():
    allowance = Allowance(0.01)
    before = allowance.cosine_min
    answers = [allowance.count() for _ in range(100)]
    assert answers == [False] * 99 + [True]
    assert allowance.cosine_min < before
    allowance.answered()
    allowance.told(is_right=False)
    assert allowance.cosine_min == pytest.approx(before)


def test_where_nothing_is_wrong_the_threshold_stops_above_nothing_alike():
    allowance = Allowance(0.3)
    for _ in range(1_000):
        allowance.count()
    assert allowance.cosine_min == 0.5


def test_where_all_is_wrong_no_more_is_answered_than_the_share():
    faq, wrong = Faq(0.02), 0
    for number in range(2_000):
        found = faq.find(at(1.0))
        if found is None:
            faq.keep(b"%d" % number, at(1.0))
        else:
            wrong += 1
            faq.told(found[0], is_right=False)
    assert 0 < wrong <= 40


def test_an_entry_that_was_wrong_gives_way_to_one_nearly_as_near():
    faq = opened()
    faq.keep(b"near", at(1.0))
    faq.keep(b"nearly", at(0.99))
    assert faq.find(at(1.0)) == (b"near", close_to(1.0))
    faq.told(b"near", is_right=False)
    assert faq.find(at(1.0)) == (b"nearly", close_to(0.99))


def test_an_entry_that_is_kept_anew_is_trusted_anew():
    faq = opened()
    faq.keep(b"near", at(1.0))
    faq.keep(b"nearly", at(0.99))
    faq.find(at(1.0))
    faq.told(b"near", is_right=False)
    faq.keep(b"near", at(1.0))
    assert faq.find(at(1.0)) == (b"near", close_to(1.0))


def test_an_entry_that_was_forgotten_answers_no_more():
    faq = opened()
    faq.keep(b"x", at(1.0))
    assert faq.forget(b"x")
    assert not faq.forget(b"x")
    assert faq.find(at(1.0)) is None
    assert len(faq) == 0


def test_what_is_told_of_a_forgotten_entry_counts_all_the_same():
    faq = Faq(0.1)
    faq.keep(b"x", at(1.0))
    asked(faq, at(1.0), 9)
    assert faq.find(at(1.0)) is not None
    faq.forget(b"x")
    faq.keep(b"y", at(1.0))
    faq.told(b"x", is_right=False)
    asked(faq, at(1.0), 9)
    assert faq.find(at(1.0)) is not None


def test_a_share_of_mistakes_is_spent_on_answers_not_left_over():
    """Two kinds of prompts: at 0.95 all are right, at 0.7 all are wrong. The first are answered."""
    faq, rng, right = Faq(0.05), Random(7), 0
    faq.keep(b"x", at(1.0))
    for _ in range(2_000):
        is_alike = rng.random() < 0.5
        if faq.find(at(0.95 if is_alike else 0.7)):
            faq.told(b"x", is_right=is_alike)
            right += is_alike
    assert right > 700


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ConfigError, match="share of wrong answers"):
        Faq(share)
