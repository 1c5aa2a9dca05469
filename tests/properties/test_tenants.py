"""Tenants: a small share of `python -m soak g7_tenants`, and that it would find what is wrong."""

from random import Random

import msgspec
from soak import g7_tenants
from soak.g7_tenants import look_up_answers, look_up_conversations, look_up_outcomes

from pointsman.core.cache_key import answer_keys


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
