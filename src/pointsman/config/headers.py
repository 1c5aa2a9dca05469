"""Headers: which of them settings may have sent to a provider."""

import re
from collections.abc import Iterator

from pointsman.config.locate import KeyPath
from pointsman.config.problems import Problem
from pointsman.config.secrecy import is_telling
from pointsman.config.settings import ProviderSettings

# A field name is a token, and a value visible ASCII with blanks between.
# Source: RFC 9110, sections 5.1, 5.5 and 5.6.2.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
# What the request itself decides.
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def find_header_faults(path: KeyPath, provider: ProviderSettings) -> Iterator[Problem]:
    """Yield what is wrong with the headers of the provider's table at `path`."""
    name = provider.auth_header
    if name is not None and (not _NAME.fullmatch(name) or name.lower() in _OURS):
        yield Problem(
            (*path, "auth_header"),
            "must be the name of a header, such as x-api-key; the key itself comes from the"
            " variable in api_key_env",
        )
    for header, value in provider.headers.items():
        if text := _fault(header, value):
            yield Problem((*path, "headers", header), text)


def _fault(header: str, value: str) -> str:
    if not _NAME.fullmatch(header):
        return "is not the name of a header; take it out"
    if header.lower() in _OURS:
        return "is pointsman's to set; take it out"
    if is_telling(header):
        return (
            "looks like a secret, which must not stand in a file; export it as an environment"
            " variable, and name that in api_key_env and this header in auth_header"
        )
    if not _VALUE.fullmatch(value):
        return "must be visible ASCII, without blanks at its ends, at most 1024 characters"
    return ""
