"""The configuration of a server that has one model, one tier and a ledger in its own folder."""

_TOML = """
[server]
log_requests = false
{server}
[providers.up]
dialect = "openai-chat"
base_url = "{base_url}"
api_key_env = ""
[[tiers]]
name = "fast"
models = ["up/m"]
[routing]
policy = "fixed:fast"
[prices."up/m"]
input = 1.0
output = 2.0
[ledger]
url = "sqlite:///ledger.db"
"""


def one_upstream(base_url: str, more: str = "", server: str = "") -> str:
    """Return its TOML; `more` is whatever else it states, `server` what else of the server."""
    return _TOML.format(base_url=base_url, server=server) + more
