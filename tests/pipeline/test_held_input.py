"""What a budget holds of a request whose input nobody can size; without one nothing changes."""

import asyncio

import msgspec
from tests.pipeline.rig import StoppingProvider, asking, models, outcome, rig

from pointsman.budgets import BudgetSettings
from pointsman.config import TierSettings
from pointsman.core.errors import BudgetExceeded
from pointsman.core.features import extract
from pointsman.core.types import Request
from pointsman.core.usage import Usage
from pointsman.providers.fake import Scripted

GOOD = Scripted(pieces=("Hello there. ", "Friend."), usage=Usage(input_tokens=10, output_tokens=5))
WINDOW = 5_000
SIZED = (TierSettings("weak", models("p/weak", context_tokens=WINDOW)),)
UNSIZED = (TierSettings("weak", models("p/weak")),)
OUTPUT_NANOUSD = 10 * 2_000
TIGHT = BudgetSettings(daily_usd=(WINDOW * 1_000 + OUTPUT_NANOUSD - 1) / 1e9)


def with_a_file(request: Request) -> Request:
    return msgspec.structs.replace(request, has_unsized=True)


ASKED = with_a_file(asking(max_tokens=10))


async def test_the_window_is_held_and_given_back(tmp_path):
    fake = StoppingProvider({"weak": [GOOD]}, stops_at=1)
    async with rig(tmp_path, fake, tiers=SIZED, budgets=BudgetSettings(daily_usd=1.0)) as found:
        asked = asyncio.create_task(outcome(found.pipeline, ASKED))
        await fake.reached.wait()
        (row,) = (r for r in found.pipeline.stores.ledger.budgets() if r.window.count("-") == 2)
        assert row.held_nanousd == 2 * (WINDOW * 1_000 + OUTPUT_NANOUSD), "two tries"
        fake.go_on.set()
        assert (await asked).is_whole
        (row,) = (r for r in found.pipeline.stores.ledger.budgets() if r.window.count("-") == 2)
        assert (row.nanousd, row.held_nanousd) == (20_000, 0)


async def test_what_may_cost_more_than_is_left_is_denied_and_text_of_that_size_is_not(tmp_path):
    async with rig(tmp_path, {"weak": [GOOD]}, tiers=SIZED, budgets=TIGHT) as found:
        denied = await outcome(found.pipeline, ASKED)
        assert isinstance(denied.error, BudgetExceeded)
        assert (await outcome(found.pipeline, asking(max_tokens=10))).is_whole


async def test_a_model_of_unknown_window_is_refused_under_a_budget_and_only_there(tmp_path):
    large = BudgetSettings(daily_usd=1.0)
    async with rig(tmp_path, {"weak": [GOOD]}, tiers=UNSIZED, budgets=large) as found:
        denied = await outcome(found.pipeline, ASKED)
        assert isinstance(denied.error, BudgetExceeded)
        assert "context_tokens" in denied.error.message
        assert not found.rows() and not found.fake.calls
    (tmp_path / "free").mkdir()
    async with rig(tmp_path / "free", {"weak": [GOOD]}, tiers=UNSIZED) as found:
        assert (await outcome(found.pipeline, ASKED)).is_whole
        estimate = extract(ASKED).input_tokens * 1_000 + OUTPUT_NANOUSD
        assert [row.intent.worst_case_nanousd for row in found.rows()] == [estimate]
