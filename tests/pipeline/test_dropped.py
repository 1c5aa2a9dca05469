"""What did not reach the upstream is told with the answer, fresh, shared or from the cache."""

from tests.pipeline.rig import ONE_TIER, Rig, asking, rig

from pointsman.core.events import Finished, Started, TextDelta
from pointsman.core.types import Request
from pointsman.providers.fake import Scripted

LOSING = Scripted(
    events=(
        Started(
            id="1", created=0, model="m", dialect="", is_stream=True, dropped=("seed", "top_k")
        ),
        TextDelta("Hello there, and good morning."),
        Finished("stop"),
    )
)


async def told(r: Rig, request: Request) -> tuple[tuple[str, ...], str]:
    async with r.pipeline.open(request) as stream:
        at_once = stream.dropped
        await stream.collect()
        assert stream.dropped == at_once
        return at_once, stream.cache


async def test_it_is_known_before_the_first_byte_and_kept_with_the_answer(tmp_path):
    async with rig(tmp_path, {"weak": [LOSING]}, tiers=ONE_TIER) as r:
        assert await told(r, asking(cache="on")) == (("seed", "top_k"), "miss")
        assert await told(r, asking(cache="on")) == (("seed", "top_k"), "hit")
        assert await told(r, asking()) == (("seed", "top_k"), "off")
    async with rig(tmp_path, {"weak": ["Hello there, and good morning."]}, tiers=ONE_TIER) as r:
        assert await told(r, asking("Something else, please.")) == ((), "off")
