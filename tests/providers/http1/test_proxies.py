"""Which proxy a call goes through."""

import pytest

from pointsman.core.errors import UpstreamConnect
from pointsman.providers.http1.proxies import Proxies, read_proxies
from pointsman.providers.http1.writing import read_target

PROXY = "http://proxy.example:3128"
CANARY = "canary-canary-1"


def through(proxies: Proxies, url: str, *, is_private: bool = False) -> str:
    """Return the name of the variable whose proxy a URL is called through, "" for none."""
    proxy = proxies.find(read_target(url), is_private=is_private)
    return "" if proxy is None else proxy.name


@pytest.mark.parametrize(
    ("env", "http", "https"),
    [
        ({}, "", ""),
        ({"HTTP_PROXY": PROXY}, "HTTP_PROXY", ""),
        ({"http_proxy": PROXY}, "HTTP_PROXY", ""),
        ({"HTTPS_PROXY": PROXY}, "", "HTTPS_PROXY"),
        ({"https_proxy": PROXY, "HTTPS_PROXY": ""}, "", "HTTPS_PROXY"),
        ({"ALL_PROXY": PROXY}, "ALL_PROXY", "ALL_PROXY"),
        ({"all_proxy": PROXY, "HTTPS_PROXY": PROXY}, "ALL_PROXY", "HTTPS_PROXY"),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "*"}, "", ""),
        ({"ALL_PROXY": " "}, "", ""),
    ],
)
def test_the_environment_says_which_proxy(env: dict[str, str], http: str, https: str):
    proxies = read_proxies(env)
    assert through(proxies, "http://api.example/") == http
    assert through(proxies, "https://api.example/") == https


def test_small_letters_go_before_capital_ones():
    proxies = read_proxies({"http_proxy": "http://small:1", "HTTP_PROXY": "http://capital:2"})
    found = proxies.find(read_target("http://api.example/"), is_private=False)
    assert found is not None and (found.host, found.port) == ("small", 1)


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (PROXY, "proxy.example", 3128),
        ("proxy.example", "proxy.example", 80),
        ("10.0.0.9:3128", "10.0.0.9", 3128),
        ("http://[fd00::1]:3128/", "fd00::1", 3128),
    ],
)
def test_a_proxy_has_a_host_and_a_port(value: str, host: str, port: int):
    (found,) = read_proxies({"HTTP_PROXY": value}).by_scheme.values()
    assert (found.host, found.port, found.authorization, found.fault) == (host, port, "", "")


NO_PROXY = (
    "example.com, .Dotted.example,*.starred.example,ported.example:8443,"
    "8.8.8.0/24,9.9.9.9,2606:4700::/32,[2a00::1]:443"
)


@pytest.mark.parametrize(
    ("url", "is_direct"),
    [
        ("https://example.com/", True),
        ("https://EXAMPLE.com./", True),
        ("https://api.example.com:8443/", True),
        ("https://badexample.com/", False),
        ("https://example.com.evil.example/", False),
        ("https://dotted.example/", True),
        ("https://a.dotted.example/", True),
        ("https://undotted.example/", False),
        ("https://a.starred.example/", True),
        ("https://ported.example:8443/", True),
        ("https://ported.example/", False),
        ("https://8.8.8.200/", True),
        ("https://8.8.9.1/", False),
        ("https://9.9.9.9/", True),
        ("https://9.9.9.99/", False),
        ("https://[2606:4700::1]/", True),
        ("https://[2607::1]/", False),
        ("https://[2a00::1]/", True),
        ("https://[2a00::1]:8443/", False),
    ],
)
def test_no_proxy_names_who_is_called_directly(url: str, is_direct: bool):
    proxies = read_proxies({"ALL_PROXY": PROXY, "NO_PROXY": NO_PROXY})
    assert (through(proxies, url) == "") is is_direct


@pytest.mark.parametrize("entry", ["", ",", ".", "*.", ":", "[", "1.2.3.4/99", "/", "a:b:c"])
def test_an_entry_that_means_nothing_changes_nothing(entry: str):
    proxies = read_proxies({"ALL_PROXY": PROXY, "NO_PROXY": entry})
    for url in ("https://api.example/", "https://8.8.8.8/", "https://[2606:4700::1]/"):
        assert through(proxies, url) == "ALL_PROXY"


@pytest.mark.parametrize(
    ("host", "is_private", "is_asked"),
    [
        ("localhost", False, False),
        ("localhost.", True, False),
        ("127.0.0.1", False, False),
        ("127.9.9.9", True, False),
        ("[::1]", True, False),
        ("192.168.0.1", False, False),
        ("169.254.169.254", False, False),
        ("[fd00::1]", False, False),
        ("192.168.0.1", True, True),
        ("models.lan", True, True),
        ("8.8.8.8", False, True),
        ("api.example", False, True),
    ],
)
def test_what_is_near_is_not_asked_of_a_proxy(host: str, is_private: bool, is_asked: bool):
    proxies = read_proxies({"ALL_PROXY": PROXY})
    found = through(proxies, f"http://{host}:8000/", is_private=is_private)
    assert bool(found) is is_asked


def test_a_proxy_s_password_is_sent_and_shown_to_nobody():
    proxies = read_proxies({"HTTP_PROXY": f"http://me:{CANARY}%40@proxy.example:3128"})
    (found,) = proxies.by_scheme.values()
    assert found.authorization == "Basic bWU6Y2FuYXJ5LWNhbmFyeS0xQA=="
    assert CANARY not in repr(proxies) and found.authorization not in repr(proxies)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (f"socks5://me:{CANARY}@proxy.example:1080", "not spoken to over http"),
        (f"https://me:{CANARY}@proxy.example", "not spoken to over http"),
        (f"http://me:{CANARY}@", "no address of a proxy"),
        (f"http://me:{CANARY}@[broken", "no address of a proxy"),
        (f"http://me:{CANARY}@proxy.example:port", "no address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_where_it_is_needed(value: str, why: str):
    proxies = read_proxies({"HTTPS_PROXY": value, "NO_PROXY": "direct.example"})
    assert through(proxies, "https://direct.example/") == ""
    assert through(proxies, "http://api.example/") == ""
    with pytest.raises(UpstreamConnect, match=f"HTTPS_PROXY .*{why}") as caught:
        through(proxies, "https://api.example/")
    assert CANARY not in str(caught.value)
