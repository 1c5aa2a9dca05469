"""What an answer at more than the stated price is booked at: nobody knows, unless somebody says."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from tests.pipeline.rig import WEAK_NANOUSD, FakeClock, asking, models, outcome, rig

from pointsman.assembly import build_pipeline
from pointsman.budgets import BudgetSettings
from pointsman.config import Settings, TierSettings
from pointsman.config.settings import PriceSettings, RoutingSettings
from pointsman.core.errors import UpstreamReset
from pointsman.core.events import Event, UsageReport
from pointsman.core.types import Request, Step
from pointsman.core.usage import NOT_SAID, Service, Usage
from pointsman.core.wire.premium import service_said
from pointsman.core.wire.splice import splice
from pointsman.ledger import LedgerSettings
from pointsman.policies import SignalSettings
from pointsman.providers.fake import FakeProvider, Scripted

GOOD = Scripted(pieces=("Hello there. ", "Friend."), usage=Usage(input_tokens=10, output_tokens=5))
TIERS = (TierSettings("weak", models("p/weak")),)
OWN_PRIORITY = (TierSettings("weak", models("p/weak", params={"service_tier": "priority"})),)
USUAL, PREMIUM = service_said("default"), service_said("priority")


class Saying(FakeProvider):
    """A provider whose answers say how they were served."""

    def __init__(self, service: Service, script: Scripted = GOOD) -> None:
        super().__init__({"weak": [script], "gpt-4o": [script]})
        self.service = service

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        async for event in super().call(request, step):
            if isinstance(event, UsageReport):
                yield msgspec.structs.replace(event, service=self.service)
            else:
                yield event


def asked(*, stream: bool = True, **fields: str) -> Request:
    request = asking(max_tokens=10, stream=stream)
    body = splice(request.body, {name: msgspec.json.encode(v) for name, v in fields.items()})
    return msgspec.structs.replace(request, body=body, is_plain=False)


async def booked(tmp_path, request: Request, service: Service, **more: Any) -> int | None:
    """Return what an answer is booked at, as it is told too."""
    async with rig(tmp_path, Saying(service), **({"tiers": TIERS} | more)) as found:
        got = await outcome(found.pipeline, request)
        assert got.is_whole
        (row,) = found.rows()
        assert row.settlement.state == "settled" and row.settlement.usage.output_tokens == 5
        assert got.cost_nanousd == row.settlement.cost_nanousd
        return row.settlement.cost_nanousd


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("fields", "service", "cost"),
    [
        ({"service_tier": "priority"}, PREMIUM, None),
        ({"service_tier": "priority"}, NOT_SAID, None),
        ({"service_tier": "priority"}, USUAL, WEAK_NANOUSD),
        ({"speed": "fast"}, NOT_SAID, None),
        ({"service_tier": "flex"}, service_said("flex"), WEAK_NANOUSD),
        ({}, NOT_SAID, WEAK_NANOUSD),
    ],
)
async def test_what_the_answer_says_decides_the_price(tmp_path, fields, service, cost, stream):
    assert await booked(tmp_path, asked(stream=stream, **fields), service) == cost


async def test_prices_that_the_configuration_states_hold_for_what_it_asks_for_itself(tmp_path):
    price = {"p/weak": PriceSettings(input=2, output=4)}
    cost = await booked(tmp_path, asked(), PREMIUM, tiers=OWN_PRIORITY, prices=price)
    assert cost == 2 * WEAK_NANOUSD


async def test_an_answer_that_breaks_off_is_not_booked_at_a_price_that_may_be_too_low(tmp_path):
    broken = Scripted(pieces=("Hello there. ",), error=UpstreamReset("cut"))
    async with rig(tmp_path, Saying(NOT_SAID, broken), tiers=TIERS) as found:
        await outcome(found.pipeline, asked(service_tier="priority"))
        await found.settled()
        ends = [row.settlement for row in found.rows()]
        assert [(end.cost_nanousd, end.usage.is_estimated) for end in ends] == [(None, True)]


async def test_a_budget_counts_what_the_account_made_dearer_at_its_worst_case(tmp_path):
    settings = Settings(
        tiers=(TierSettings("weak", models("openai/gpt-4o")),),
        routing=RoutingSettings(policy="signals", signals=SignalSettings(default="weak")),
        ledger=LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}"),
        budgets=BudgetSettings(daily_usd=1.0),
    )
    providers = {"openai": Saying(PREMIUM)}
    env = {"OPENAI_API_KEY": "k"}
    async with build_pipeline(settings, env, clock=FakeClock(), providers=providers) as pipeline:
        assert (await outcome(pipeline, asked(service_tier="priority"))).is_whole
        (row,) = pipeline.stores.ledger.rows()
        assert row.settlement.cost_nanousd is None
        counted = [budget.nanousd for budget in pipeline.stores.ledger.budgets()]
        assert row.intent.worst_case_nanousd and counted == [row.intent.worst_case_nanousd]
