"""What holds a secret shows it in none of the ways in which Python shows things."""

import copy
import logging
import pprint

import pytest
from tests.server.doors import TOML

from pointsman.access.environment import API_KEYS_ENV, stated_keys
from pointsman.assembly import build_pipeline
from pointsman.config import parse_settings
from pointsman.core.secret import SHOWN, SecretBytes, Variables, unsaid
from pointsman.server.exchange import Exchange

CANARY = "canary-5b2c"
ENV = {"UP_KEY": CANARY, API_KEYS_ENV: f"web:{CANARY}"}


def shown(thing: object) -> str:
    """Return a thing in all the ways in which it may come to stand in a log."""
    ways = [repr(thing), str(thing), f"{thing}", f"{thing!s:>90}", pprint.pformat(thing)]
    return " ".join([*ways, "%s %r" % (thing, thing), ascii(thing), repr([thing])])  # noqa: UP031


@pytest.mark.parametrize(
    "thing",
    [
        Variables(ENV),
        Variables(ENV).__call__,
        SecretBytes(CANARY.encode()),
        stated_keys(ENV),
        Exchange(
            method="POST",
            path="/",
            headers={"authorization": CANARY},
            body=CANARY.encode(),
            request_id="r",
        ),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_holds_a_secret_does_not_show_it(thing: object):
    assert CANARY not in shown(thing)


def test_what_is_hidden_can_be_used():
    assert Variables(ENV)("UP_KEY") == CANARY
    assert Variables(ENV)("NONE") is None
    assert SecretBytes(b"abc") == b"abc"
    assert f"{SecretBytes(b'abc')}" == SHOWN


def test_keys_are_not_written_anywhere():
    with pytest.raises(TypeError, match="not written"):
        copy.copy(Variables(ENV))


async def test_no_part_of_a_pipeline_shows_a_key():
    """Looks at the `repr` of all that a pipeline holds, and of what that holds."""
    toml = TOML.replace("[providers.fake]", '[providers.fake]\napi_key_env = "UP_KEY"')
    async with build_pipeline(parse_settings(toml, "t.toml", ENV), ENV) as pipeline:
        seen: dict[int, object] = {}
        waiting: list[object] = [pipeline]
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen or isinstance(thing, str | bytes | int | type):
                continue
            seen[id(thing)] = thing
            if thing is ENV:
                continue  # the environment itself: whoever shows it is what is looked for
            assert CANARY not in repr(thing), type(thing)
            waiting += _held(thing)
        assert len(seen) > 100
        assert id(ENV) in seen, "the look goes as deep as the keys"


def _held(thing: object) -> list[object]:
    match thing:
        case dict():
            return list(thing.values())
        case list() | tuple() | set() | frozenset():
            return list(thing)
        case _ if type(thing).__module__.startswith("pointsman"):
            slots = [n for kind in type(thing).__mro__ for n in getattr(kind, "__slots__", ())]
            names = [*getattr(thing, "__dict__", {}), *slots]
            return [getattr(thing, name) for name in names if hasattr(thing, name)]
        case _:
            return []


def test_an_error_is_logged_without_what_it_says(caplog: pytest.LogCaptureFixture):
    def fail() -> None:
        try:
            int(CANARY)
        except ValueError as error:
            raise KeyError(CANARY) from error

    try:
        fail()
    except KeyError as error:
        logging.getLogger("pointsman").error("it failed", exc_info=unsaid(error))
    assert "builtins.KeyError" in caplog.text
    assert "builtins.ValueError" in caplog.text
    assert "in fail" in caplog.text
    assert CANARY not in caplog.text


def test_errors_that_lead_to_each_other_come_to_an_end():
    one, other = ValueError(CANARY), KeyError(CANARY)
    one.__cause__, other.__cause__ = other, one
    told: BaseException = unsaid(one)
    kinds = 0
    while told.__cause__ is not None:
        assert CANARY not in str(told.__cause__)
        told, kinds = told.__cause__, kinds + 1
    assert kinds == 5


def test_an_error_raised_from_none_hides_its_context():
    error = ValueError()
    error.__context__, error.__suppress_context__ = KeyError(), True
    assert unsaid(error).__cause__ is None
