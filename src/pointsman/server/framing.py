"""Framing: what of a request's head llhttp lets pass and RFC 9112 does not."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

import httptools

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)


def read_headers(raw: Sequence[bytes]) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the names of headers in lower case, as they came, and the headers by name.

    `raw`: name, value, name, value... Of a name that comes twice the last value counts. Raises
    ValueError where a name or a value holds a line's end, which llhttp never lets pass.
    """
    if not raw:
        return (), {}
    names = b"\n".join(raw[::2]).lower().decode("latin-1").split("\n")
    values = b"\n".join(raw[1::2]).decode("latin-1").split("\n")
    if len(names) + len(values) != len(raw):
        raise ValueError("a header holds a line's end")
    return names, dict(zip(names, values, strict=True))


@lru_cache(maxsize=128)
def read_target(target: bytes) -> tuple[str, str]:
    """Return the path of a request's target, unquoted, and its query as it was sent.

    Raises HttpParserError for a target that is none.
    """
    url = httptools.parse_url(target)
    path, query = url.path or b"/", url.query or b""
    return unquote(path.decode("ascii")), query.decode("latin-1")


def framing_fault(
    names: Sequence[str], headers: Mapping[str, str], target: bytes, version: str
) -> str:
    """Return what is wrong with a request's head that llhttp lets pass, "" for nothing.

    Whoever reads a message otherwise than the proxy before it can be fed a request in disguise.
    Source: RFC 9112, sections 2.3, 3.2 (Host, and a target's form) and 6.1 (codings).
    """
    if version not in {"1.0", "1.1"}:
        return f"HTTP/{version} is not spoken here; use HTTP/1.1"
    if (coding := headers.get("transfer-encoding")) is not None:
        is_chunked = coding.strip().lower() == "chunked"
        if version == "1.0" or not is_chunked or names.count("transfer-encoding") > 1:
            return (
                "Transfer-Encoding may be chunked alone, and in HTTP/1.1 alone;"
                " send a Content-Length"
            )
    host = headers.get("host")
    hosts = names.count("host")
    if hosts > 1 or (version == "1.1" and not host):
        return f"there are {hosts} Host headers with a name; send one"
    if b"#" in target:
        return "the address has a fragment; leave out what follows the #"
    absolute = None if target.startswith(b"/") else _ABSOLUTE.match(target)
    if absolute and host is not None and absolute[1].decode("latin-1").lower() != host.lower():
        return "the address names another host than the Host header; send one of them"
    return ""
