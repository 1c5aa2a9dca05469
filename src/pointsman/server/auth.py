"""Auth: who asks, by the key in a request's headers, and whether that opens the route."""

from collections.abc import Mapping

from pointsman.access.keyring import Admitted
from pointsman.core.errors import Forbidden
from pointsman.core.grants import Scope

# Where clients put their key, in the order in which one is looked for: OpenAI's SDK and Claude
# Code's ANTHROPIC_AUTH_TOKEN, Anthropic's SDK, Google's, Azure's (`openai` 3.54, `anthropic` 2.12
# and `google-genai` 3.4, read 2026-11-23).
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
_KEY_HEADERS = frozenset(KEY_HEADERS)


def check_scope(who: Admitted, scope: Scope | None) -> None:
    """Raise Forbidden where a key is good, but not for a route of this scope."""
    if scope not in who.grant.scopes:
        scopes = ", ".join(sorted(who.grant.scopes)) or "none"
        raise Forbidden(
            f'key "{who.tenant}": this takes the scope "{scope}", and the key has {scopes};'
            " ask for a key that has it"
        )


def sent_key(headers: Mapping[str, str]) -> str:
    """Return the key that was sent, "" where there is none.

    The first of `KEY_HEADERS` that has one holds, whatever the others say.
    """
    if _KEY_HEADERS.isdisjoint(headers):
        return ""
    for name in KEY_HEADERS:
        if key := _key_in(headers, name):
            return key
    return ""


def _key_in(headers: Mapping[str, str], name: str) -> str:
    """Return the key in a header, "" where it has none; Authorization has one as a bearer only."""
    value = headers.get(name, "")
    if name != "authorization":
        return value.strip()
    scheme, _, given = value.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""
