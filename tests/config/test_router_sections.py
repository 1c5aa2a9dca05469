"""Settings stated in Python: a wrong key is named with the key that was meant."""

from typing import Any

import pytest

from pointsman import Router
from pointsman.config import TierSettings
from pointsman.core.errors import ConfigError

TIERS = (TierSettings("a", ("ollama/x",)),)


@pytest.mark.parametrize(
    ("sections", "key", "remedy"),
    [
        ({"routing": {"polcy": "cascade"}}, "routing.polcy", 'Did you mean "policy"?'),
        ({"routng": {}}, "routng", 'Did you mean "routing"?'),
        ({"cache": {"ttl_s": "1"}}, 'cache.ttl_s = "1"', "must be a whole number"),
        ({"cache": 1}, "cache = 1", "must be a table"),
        ({"cache": {"ttl_s": object()}}, "settings", "sections hold what TOML has a form for"),
    ],
)
def test_a_wrong_section_is_told_with_key_and_remedy(
    sections: dict[str, Any], key: str, remedy: str
):
    with pytest.raises(ConfigError) as raised:
        Router(TIERS, env={}, **sections)
    assert raised.value.message.startswith(key)
    assert remedy in raised.value.message
