"""Configurations for `pointsman serve`: a tier for each dialect that an upstream speaks."""

from tests.e2e.scripted.server import DIALECTS, KEY, Scripted

from pointsman.core.wire import CODECS

UPSTREAMS = tuple(name for name in DIALECTS if name in CODECS)
UPSTREAM_KEYS = {"SCRIPTED_KEY": KEY}
# A tier for each of the three dialects that llama.cpp's server speaks.
REAL = ("real-openai-chat", "real-openai-responses", "real-anthropic")

_COMMON = """
[server]
log_requests = false
[routing]
policy = "fixed:{first}"
[cache]
exact = false
[ledger]
url = "sqlite://"
"""


def scripted_toml(upstream: Scripted) -> str:
    """Return a configuration whose tiers and providers are named as the dialects.

    The model `able` does as the prompt says. `<dialect>-faulty` is a tier for failures, which
    rests after some.
    """
    lines = [_COMMON.format(first="openai-chat")]
    for dialect in UPSTREAMS:
        url = upstream.base_urls[dialect]
        lines += [f"[providers.{dialect}]", f'dialect = "{dialect}"', f'base_url = "{url}"']
        lines += ['api_key_env = "SCRIPTED_KEY"']
        for tier, model in ((dialect, "able"), (f"{dialect}-faulty", "faulty")):
            lines += _tier(tier, f"{dialect}/{model}")
    return "\n".join(lines)


def real_toml(base_url: str) -> str:
    """Return a configuration whose tiers reach one llama.cpp server by each of its dialects."""
    lines = [_COMMON.format(first="real-openai-chat")]
    for tier in REAL:
        dialect = tier.removeprefix("real-")
        lines += [f"[providers.{tier}]", f'dialect = "{dialect}"', f'base_url = "{base_url}"']
        lines += [*_tier(tier, f"{tier}/smollm2"), "max_tokens = 200"]
    return "\n".join(lines)


def _tier(name: str, model: str) -> list[str]:
    price = [f'[prices."{model}"]', "input = 1.0", "output = 2.0"]
    return [*price, "[[tiers]]", f'name = "{name}"', f'models = ["{model}"]']
