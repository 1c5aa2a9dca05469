"""Tenants: a small share of `python -m soak g7_tenants`, and that it would find what is wrong."""

from random import Random

import msgspec
from soak import g7_tenants, wordings
from soak.g7_tenants import look_up_answers, look_up_conversations, look_up_outcomes
from soak.wordings import look_up_wordings

from pointsman import kept_answers
from pointsman.core.cache_key import answer_keys
from pointsman.core.types import Decision


def test_no_look_up_finds_what_is_another_tenants():
    for look_up in (look_up_answers, look_up_conversations):
        hits, wrong = look_up(3_000, Random(1))
        assert hits > 300
        assert wrong == []


async def test_no_idempotency_key_finds_what_is_another_tenants():
    hits, wrong = await look_up_outcomes(6_000, Random(1))
    assert hits > 300
    assert wrong == []


def test_a_key_that_forgets_its_tenant_would_be_found(monkeypatch):
    def forgetful(request, *args, **named):
        caller = msgspec.structs.replace(request.caller, tenant="")
        return answer_keys(msgspec.structs.replace(request, caller=caller), *args, **named)

    monkeypatch.setattr(g7_tenants, "answer_keys", forgetful)
    _, wrong = look_up_answers(3_000, Random(1))
    assert wrong


def test_no_wording_finds_what_is_anothers():
    hits, reworded, wrong = look_up_wordings(3_000, Random(1))
    assert hits > 300 and reworded > 100
    assert wrong == []


def test_a_reading_that_takes_two_meanings_for_one_would_be_found(monkeypatch):
    monkeypatch.setattr(kept_answers, "wording", lambda text: text.lower().replace("off", "on"))
    *_, wrong = look_up_wordings(3_000, Random(1))
    assert wrong


def test_a_key_that_forgets_the_tier_would_be_found(monkeypatch):
    decision = Decision(tier="m", reason="", deployments=("p/m",))

    def forgetful(request, _, snapshot):
        return answer_keys(request, decision, snapshot)

    monkeypatch.setattr(wordings, "answer_keys", forgetful)
    *_, wrong = look_up_wordings(3_000, Random(1))
    assert wrong
