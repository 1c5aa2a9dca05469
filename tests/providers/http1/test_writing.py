"""A request's head: what is in it, and what never gets in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.providers.http1.writing import (
    connect_head,
    head_opening,
    read_target,
    whole_head,
)

URL = "http://api.example/v1/chat"


def head(url: str = URL, **headers: str) -> bytes:
    named = ((name.replace("_", "-"), value) for name, value in headers.items())
    return whole_head(head_opening(read_target(url), named), 7)


def test_a_head_is_the_line_the_host_the_headers_and_the_length():
    assert head(content_type="application/json", x_title="a b") == (
        b"POST /v1/chat HTTP/1.1\r\nhost: api.example\r\ncontent-type: application/json\r\n"
        b"x-title: a b\r\ncontent-length: 7\r\n\r\n"
    )


def test_a_proxy_is_told_the_whole_url():
    written = head_opening(read_target(URL + "?a=b"), (), is_absolute=True)
    assert written.startswith(b"POST http://api.example/v1/chat?a=b HTTP/1.1\r\nhost: api.example")


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("http://api.example", "api.example", 80, "api.example", "/"),
        ("https://api.example/v1", "api.example", 443, "api.example", "/v1"),
        ("https://API.Example:8443/v1", "api.example", 8443, "api.example:8443", "/v1"),
        ("http://[::1]:9/v1", "::1", 9, "[::1]:9", "/v1"),
        ("http://127.0.0.1:9/v1", "127.0.0.1", 9, "127.0.0.1:9", "/v1"),
        ("http://a/m/x%2Fy:stream?alt=sse", "a", 80, "a", "/m/x%2Fy:stream?alt=sse"),
        ("http://a/ü", "a", 80, "a", "/%C3%BC"),
        ("http://bücher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/"),
    ],
)
def test_a_url_says_where_it_leads(url: str, host: str, port: int, authority: str, path: str):
    to = read_target(url)
    assert (to.host, to.port, to.authority, to.path) == (host, port, authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "", "api.example/v1", "//api.example/v1", "ftp://api.example/", "file:///etc/passwd",
        "http://", "http:///v1", "http://:80/", "http://a:b@c/", "http://a@c/", "http://[broken/",
        "http://a:99999/", "http://a:x/", "http://a b/", "http://a/ b", "http://a/\r\nx: y",
        "http://a/\0", "http://a/#x", "http://a\\b/", "http://a%20b/", "http://①②⑦.⓪.⓪.①/v1",
        "http://127。0。0。1/v1", "http://" + "a" * 64 + "ü.example/",
    ],
)  # fmt: skip
def test_a_url_that_no_request_can_be_made_of_is_refused(url: str):
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever part has found it
        read_target(url)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "\x7f", "a\x0bb"])
def test_no_header_ends_before_its_end(value: str):
    with pytest.raises(ValueError, match="header"):
        head(authorization=value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä", "a\0"])
def test_no_header_has_another_name_than_its_own(name: str):
    with pytest.raises(ValueError, match="header"):
        head_opening(read_target(URL), ((name, "x"),))


@pytest.mark.parametrize(
    "name", ["host", "Content-Length", "transfer-encoding", "Connection", "upgrade", "te"]
)
def test_no_header_says_where_a_request_ends_or_who_it_is_for(name: str):
    with pytest.raises(ValueError, match="header"):
        head_opening(read_target(URL), ((name, "1"),))


@given(st.text(), st.text())
def test_whatever_a_header_holds_it_stays_one_line(name: str, value: str):
    try:
        written = whole_head(head_opening(read_target(URL), ((name, value),)), 0)
    except ValueError:
        return
    assert written.count(b"\r\n") == 5 and written.count(b"\n") == written.count(b"\r") == 5
    assert written.endswith(b"content-length: 0\r\n\r\n")


def test_a_proxy_is_asked_for_host_and_port():
    to = read_target("https://[::1]/v1")
    assert connect_head(to, "") == b"CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n\r\n"
    assert b"\r\nproxy-authorization: Basic eA==\r\n" in connect_head(to, "Basic eA==")
