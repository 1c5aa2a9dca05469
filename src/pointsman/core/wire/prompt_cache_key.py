"""Prompt cache key: brings requests that begin alike to where OpenAI's prompt cache has them.

The key is the same for a tenant's requests with the same tools and the same instructions, so none
that would have shared a cache without it is sent elsewhere for it. Nobody can read the tenant's
name or the prompt from it: it is a digest of how the prompt begins, keyed by the tenant.

Source: developers.openai.com/api/docs/guides/prompt-caching (read 2026-11-23): requests go where
the hash of their first tokens and this key lead, prompts of 1,024 tokens and more.
"""

from hashlib import blake2b

import msgspec

from pointsman.core.wire.splice import splice

PROMPT_CACHE_KEY = "prompt_cache_key"

_QUOTED = b'"prompt_cache_key"'
# Prompts of 1,024 tokens have as many bytes at least, all but always; a key too many is harmless.
_BODY_BYTES_MIN = 3 * 1_024
_SYSTEM_ROLES = frozenset({"system", "developer"})
_DIGEST_BYTES = 16

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


class _Message(msgspec.Struct):
    role: str | None = None


_message = msgspec.json.Decoder(_Message)


def with_cache_key(body: bytes, tenant: str, *, said_in: str) -> bytes:
    """Return a body with a key of ours, and every other byte as it is.

    One that has a key is returned as it is, as are a short one and one without tools and
    instructions. `said_in`: the field that has the messages.
    """
    if len(body) < _BODY_BYTES_MIN or _QUOTED in body:
        return body
    members = _members.decode(body)
    tools, instructions = (bytes(members.get(name, b"")) for name in ("tools", "instructions"))
    head = (tools, instructions, _first_instruction(bytes(members.get(said_in, b""))))
    if not any(head):
        return body
    key = blake2b(tenant.encode("utf-8", "surrogatepass")).digest()
    made = blake2b(msgspec.json.encode(head), key=key, digest_size=_DIGEST_BYTES)
    return splice(body, {PROMPT_CACHE_KEY: msgspec.json.encode(made.hexdigest())})


def _first_instruction(messages: bytes) -> bytes:
    """Return the first message where it is the system's, b"" where there is none."""
    try:
        first = bytes(_list.decode(messages)[0]) if messages.startswith(b"[") else b"null"
        return first if _message.decode(first).role in _SYSTEM_ROLES else b""
    except (msgspec.DecodeError, IndexError):  # the upstream says better what is wrong with it
        return b""
