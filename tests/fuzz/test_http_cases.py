"""A small share of the requests that `python -m soak g8_fuzz` makes of the description."""

import msgspec
import pytest
from tests.fuzz.http_cases import Door, Sent, run


def test_the_server_does_nothing_that_its_description_does_not_say():
    tally = run(300, 1)
    assert tally.cases >= 300
    assert tally.generated >= 20
    assert {"200", "400"} <= tally.statuses.keys()
    slow = [fault for fault in tally.faults if fault.startswith("held the loop")]
    assert [fault for fault in tally.faults if fault not in slow] == []


GOOD = Sent("/v1/feedback", "POST", "/v1/feedback", {}, b'{"request_id":"x","score":0.5}')


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (GOOD, ""),
        (msgspec.structs.replace(GOOD, path="/health/live"), "status 404 as"),
        (msgspec.structs.replace(GOOD, target="/v1/decide", path="/metrics"), "has another body"),
    ],
    ids=["declared", "undeclared status", "undeclared body"],
)
def test_what_is_not_declared_is_seen(sent: Sent, fault: str):
    door = Door()
    for operation in door.told["paths"]["/health/live"].values():
        operation["responses"].pop("404")
    for operation in door.told["paths"]["/metrics"].values():
        only_numbers = {"schema": {"type": "number"}}
        operation["responses"]["400"] = {"content": {"application/json": only_numbers}}
    try:
        door.send(sent)
    finally:
        door.close()
    if fault:
        (told,) = door.tally.faults
        assert fault in told
    else:
        assert door.tally.faults == []


@pytest.mark.parametrize("name", ["a%0Ab", "a%3Fb"], ids=["line break", "question mark"])
def test_a_models_odd_name_is_still_googles_to_answer(name: str):
    """Found by schemathesis: the path was no route's, and the error in another dialect's shape."""
    path = "/v1/models/{model}:streamGenerateContent"
    door = Door()
    try:
        for body in (b"{}", b'{"contents":[{"parts":[{"text":"hi"}]}]}'):
            target = path.replace("{model}", name) + "?alt=sse"
            door.send(Sent(path, "POST", target, {}, body))
    finally:
        door.close()
    assert door.tally.faults == []
    assert door.tally.statuses == {"400": 1, "200": 1}
