"""The environment's keys: what they are called, and which of them stop the start."""

import pytest

from pointsman.access.environment import has_stated_keys, stated_keys
from pointsman.core.errors import ConfigError
from pointsman.core.grants import EVERYTHING, Scope

RED, BLUE = "red-key-0123456789", "blue-key-0123456789"


def stated(keys: str = "", admin: str = "") -> dict[str, str]:
    given = {"POINTSMAN_API_KEYS": keys, "POINTSMAN_ADMIN_KEY": admin}
    return {name: value for name, value in given.items() if value}


def test_each_key_has_its_name_and_may_do_what_a_client_may():
    found = stated_keys(stated(f"red:{RED}, {BLUE}", "admin-0123456789"))
    grants = dict(found.by_digest.values())
    unnamed = next(name for name in grants if name.startswith("key-"))
    assert set(grants) == {"red", unnamed, "admin"} == found.names
    assert grants["red"] == grants[unnamed] == EVERYTHING
    assert grants["admin"].scopes == frozenset(Scope)
    assert Scope.ADMIN not in EVERYTHING.scopes
    again = stated_keys(stated(BLUE))
    assert again.names == {unnamed}, "an unnamed key keeps its name, and so its tenant"


def test_no_key_is_kept_only_what_this_process_alone_can_compare_with_it():
    one, other = stated_keys(stated(RED)), stated_keys(stated(RED))
    assert RED not in repr(one)
    assert set(one.by_digest) != set(other.by_digest)


def test_an_unnamed_key_is_called_the_same_by_every_release():
    """Its name is its tenant: another one would not find its conversations and budgets again."""
    assert stated_keys(stated(BLUE)).names == {"key-9a3a62e5"}


def test_a_key_of_eight_characters_is_long_enough():
    assert len(stated_keys(stated("12345678", "87654321")).by_digest) == 2
    with pytest.raises(ConfigError, match="fewer than 8 characters"):
        stated_keys(stated("1234567"))


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        pytest.param(stated("short"), "POINTSMAN_API_KEYS", id="short"),
        pytest.param(stated("name:short"), "POINTSMAN_API_KEYS", id="short with a name"),
        pytest.param(stated(f"a:{RED},a:{BLUE}"), "POINTSMAN_API_KEYS", id="a name twice"),
        pytest.param(stated(f"a:{RED},b:{RED}"), "POINTSMAN_API_KEYS", id="a key twice"),
        pytest.param(stated(f"{RED},{RED}"), "POINTSMAN_API_KEYS", id="an unnamed key twice"),
        pytest.param(stated(","), "POINTSMAN_API_KEYS", id="a comma"),
        pytest.param(stated("  "), "POINTSMAN_API_KEYS", id="blank"),
        pytest.param(stated("schlüssel-0123456789"), "POINTSMAN_API_KEYS", id="not ASCII"),
        pytest.param(stated("a\x7fkey-0123456789"), "POINTSMAN_API_KEYS", id="not printable"),
        pytest.param(stated("", "short"), "POINTSMAN_ADMIN_KEY", id="short admin"),
        pytest.param(stated("", "  "), "POINTSMAN_ADMIN_KEY", id="blank admin"),
        pytest.param(stated(RED, RED), "POINTSMAN_ADMIN_KEY", id="the admin's key twice"),
        pytest.param(stated(f"admin:{RED}", BLUE), "POINTSMAN_ADMIN_KEY", id="the admin's name"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start_and_are_not_repeated(
    env: dict[str, str], variable: str
):
    with pytest.raises(ConfigError) as raised:
        stated_keys(env)
    assert variable in raised.value.message
    assert all(key not in raised.value.message for key in (RED, BLUE, "schlüssel"))


@pytest.mark.parametrize(
    ("env", "has"),
    [({}, False), (stated(" "), False), (stated(RED), True), (stated("", RED), True)],
    ids=["none", "blank", "client", "admin"],
)
def test_a_blank_variable_keeps_nobody_out(env: dict[str, str], has: bool):
    assert has_stated_keys(env) is has
