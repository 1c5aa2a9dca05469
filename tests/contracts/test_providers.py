"""Every provider keeps the contract: one `Finished` or an UpstreamError, and closing cancels."""

from contextlib import aclosing
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from pointsman import providers
from pointsman.asking import build_request
from pointsman.core.errors import ConfigError, UpstreamConnect, UpstreamError
from pointsman.core.events import Finished, Started, TextDelta, UsageReport
from pointsman.core.types import Deployment, Step
from pointsman.providers import Timeouts, build_installed, installed_kinds
from pointsman.providers.fake import FakeProvider, Scripted
from pointsman.providers.http import HttpProvider

REAL, FAKE = "http", "fake"


def no_keys(_variable):
    """Find no key in the environment."""
    return None


def make_fake(_timeouts, _key_of):
    """Build the provider that a third party's package would bring."""
    return FakeProvider({"smollm2": [Scripted(pieces=("a", "b", "c"))]})


@pytest.fixture(params=[REAL, FAKE])
async def provider(request):
    if request.param == FAKE:
        made = make_fake(None, None)
    else:
        request.getfixturevalue("local_models")
        made = HttpProvider(timeouts=Timeouts(), key_of=no_keys)
    yield made
    await made.close()


@pytest.fixture
def step(local_models):
    deployment = Deployment(
        provider="p",
        model="smollm2",
        dialect="openai-chat",
        base_url=local_models["smollm2"].base_url,
        params={"temperature": 0, "seed": 1},
    )
    return Step(tier="power", deployment=deployment, max_tokens=8)


@pytest.mark.parametrize("is_stream", [True, False], ids=["streamed", "whole"])
async def test_an_answer_opens_once_has_content_and_usage_and_ends_once(provider, step, is_stream):
    request = build_request("Count from one to five.", {"stream": is_stream})
    async with aclosing(provider.call(request, step)) as events:
        seen = [event async for event in events]
    assert sum(isinstance(event, Started) for event in seen) == 1
    assert any(isinstance(event, TextDelta) for event in seen)
    assert any(isinstance(event, UsageReport) for event in seen)
    assert [event for event in seen if isinstance(event, Finished)] == [seen[-1]]


async def test_a_call_may_be_closed_at_any_event_and_the_next_one_works(provider, step):
    request = build_request("Count from one to five.", {"stream": True})
    for stop_after in range(4):
        async with aclosing(provider.call(request, step)) as events:
            for _ in range(stop_after):
                await anext(events)
    async with aclosing(provider.call(request, step)) as events:
        assert isinstance([event async for event in events][-1], Finished)


async def test_a_refused_connection_is_an_upstream_error():
    made = HttpProvider(timeouts=Timeouts(), key_of=no_keys)
    nowhere = Deployment(
        provider="p", model="m", dialect="openai-chat", base_url="http://127.0.0.1:9/v1"
    )
    try:
        with pytest.raises(UpstreamConnect):
            await anext(made.call(build_request("x", {}), Step(tier="t", deployment=nowhere)))
    finally:
        await made.close()


async def test_a_scripted_error_comes_out_as_it_is(step):
    made = FakeProvider({"smollm2": [Scripted(error=UpstreamConnect("refused"))]})
    with pytest.raises(UpstreamError, match="refused"):
        await anext(made.call(build_request("x", {}), step))


@pytest.fixture
def installed(monkeypatch):
    def pretend(value):
        point = EntryPoint(name="pretended", value=value, group=providers.ENTRY_POINTS)

        def entry_points(**wanted):
            return EntryPoints([point]).select(**wanted)

        monkeypatch.setattr(providers, "entry_points", entry_points)

    return pretend


def test_a_third_partys_kind_is_built_by_its_name(installed):
    installed("tests.contracts.test_providers:make_fake")
    assert installed_kinds() == ("pretended",)
    assert isinstance(build_installed("pretended", Timeouts(), no_keys), FakeProvider)


def test_a_kind_that_does_not_load_or_exist_stops_the_start(installed):
    installed("tests.contracts.test_providers:nothing_of_that_name")
    with pytest.raises(ConfigError, match="does not start"):
        build_installed("pretended", Timeouts(), no_keys)
    with pytest.raises(ConfigError, match="no such kind; installed: pretended"):
        build_installed("other", Timeouts(), no_keys)
