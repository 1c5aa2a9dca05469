"""A request that one dialect cannot say goes to the next deployment that speaks another."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.pipeline.rig import FakeClock, asking, outcome

from pointsman.assembly import build_pipeline
from pointsman.config import Settings, TierSettings
from pointsman.config.settings import ProviderSettings, RoutingSettings
from pointsman.core.errors import RequestError
from pointsman.core.events import Event
from pointsman.core.types import Request, Step
from pointsman.ledger import LedgerSettings
from pointsman.policies import SignalSettings
from pointsman.providers.fake import FakeProvider

DIALECTS = {"chat": "openai-chat", "google": "gemini", "google-2": "gemini"}
URL = "http://unused.invalid/v1"


class Mute(FakeProvider):
    """Speaks a dialect that cannot say what is asked; `asked` counts how often it was to."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked = 0

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        self.asked += 1
        for _ in (request, step):
            raise RequestError("stop: too many for it", param="stop")
        yield  # type: ignore[misc]  # which makes it a generator


@asynccontextmanager
async def opened(tmp_path: Path, *chain: str):
    providers = {
        name: ProviderSettings(base_url=URL, dialect=dialect, api_key_env="")
        for name, dialect in DIALECTS.items()
    }
    settings = Settings(
        providers=providers,
        tiers=(TierSettings("weak", tuple(f"{name}/m" for name in chain)),),
        routing=RoutingSettings(policy="signals", signals=SignalSettings(default="weak")),
        ledger=LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}"),
    )
    mute, able = Mute(), FakeProvider({"m": ["Hello there, and good morning."]})
    stand_ins = {"google": mute, "google-2": mute, "chat": able}
    pipeline = build_pipeline(settings, {}, clock=FakeClock(), providers=stand_ins, seed=1)
    async with pipeline:
        yield pipeline, mute, able


async def test_another_dialect_answers_and_the_same_one_is_not_asked_again(tmp_path):
    async with opened(tmp_path, "google", "google-2", "chat") as (pipeline, mute, able):
        got = await outcome(pipeline, asking())
        assert got.text == "Hello there, and good morning."
        assert (mute.asked, able.calls) == (1, ["chat/m"])
        rows = [row.settlement for row in pipeline.stores.ledger.rows()]
    assert [(row.state, row.outcome) for row in rows] == [
        ("voided", "failed"),
        ("settled", "answered"),
    ]


@pytest.mark.parametrize("chain", [("google",), ("google", "google-2")])
async def test_where_no_dialect_can_say_it_the_client_is_told(tmp_path, chain: tuple[str, ...]):
    async with opened(tmp_path, *chain) as (pipeline, mute, _):
        error = (await outcome(pipeline, asking())).error
        assert isinstance(error, RequestError) and error.param == "stop"
        assert (mute.asked, error.http_status) == (1, 400)
