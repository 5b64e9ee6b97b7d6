"""Which proxy leads where."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.core.proxy import ProxyRules, parse_proxy

PROXY_URL = "http://proxy.example:3128"


def actual(url: str, **environ: str) -> str | None:
    proxy = ProxyRules.from_environment(environ).find(url)
    return proxy.url if proxy else None


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": PROXY_URL}, PROXY_URL, None),
        ({"https_proxy": PROXY_URL}, PROXY_URL, None),
        ({"HTTP_PROXY": PROXY_URL}, None, PROXY_URL),
        ({"http_proxy": PROXY_URL}, None, PROXY_URL),
        ({"ALL_PROXY": PROXY_URL}, PROXY_URL, PROXY_URL),
        ({"all_proxy": PROXY_URL}, PROXY_URL, PROXY_URL),
        ({"HTTPS_PROXY": PROXY_URL, "ALL_PROXY": "http://other:1"}, PROXY_URL, "http://other:1"),
        ({"HTTPS_PROXY": "http://other:1", "https_proxy": PROXY_URL}, PROXY_URL, None),
        ({"HTTPS_PROXY": PROXY_URL, "https_proxy": ""}, None, None),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY_URL, None),
        ({"HTTPS_PROXY": "http://[fd00::1]:3128"}, "http://[fd00::1]:3128", None),
        ({"HTTPS_PROXY": "https://proxy.example"}, "https://proxy.example:443", None),
    ],
)
def test_the_usual_variables_are_understood(environ: dict[str, str], https: str | None, http: str | None) -> None:
    assert actual("https://api.example/v1", **environ) == https
    assert actual("http://api.example/v1", **environ) == http


@pytest.mark.parametrize(
    ("words", "url"),
    [
        ("*", "https://api.example"),
        ("api.example", "https://api.example"),
        ("API.Example", "https://api.example"),
        ("example", "https://api.example"),
        (".example", "https://api.example"),
        ("*.example", "https://api.example"),
        ("other.org, api.example", "https://api.example"),
        ("other.org api.example", "https://api.example"),
        ("api.example:443", "https://api.example"),
        ("api.example:8443", "https://api.example:8443/v1"),
        ("10.0.0.0/8", "https://10.1.2.3/v1"),
        ("10.1.2.3", "https://10.1.2.3/v1"),
        ("fd00::/8", "https://[fd00::1]/v1"),
        ("box", "https://api.box/v1"),
        ("api.box", "https://api.box./v1"),
        ("fd00::1", "https://[fd00::1]/v1"),
        ("[fd00::1]:443", "https://[fd00::1]/v1"),
    ],
)
def test_no_proxy_names_hosts_networks_and_ports(words: str, url: str) -> None:
    assert actual(url, HTTPS_PROXY=PROXY_URL, NO_PROXY=words) is None
    assert actual(url, https_proxy=PROXY_URL, no_proxy=words) is None


@pytest.mark.parametrize(
    "words", ["pi.example", "api.example:80", "example.org", "10.0.0.0/8", ".", "api", "ample", "1.2.3.4"]
)
def test_no_proxy_matches_only_listed_hosts(words: str) -> None:
    assert actual("https://api.example", HTTPS_PROXY=PROXY_URL, NO_PROXY=words) == PROXY_URL


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_loopback_bypasses_the_proxy(host: str) -> None:
    assert actual(f"http://{host}:8080", ALL_PROXY=PROXY_URL) is None


@pytest.mark.parametrize("text", ["socks5://proxy:1080", "ftp://proxy", "http://", "http://a b", "http://p:port"])
def test_invalid_proxy_error_names_the_variable_without_its_value(text: str) -> None:
    secret = text.replace("://", "://user:hunter2hunter2@")
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        actual("https://api.example", HTTPS_PROXY=secret)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
    assert actual("http://api.example", HTTPS_PROXY=secret) is None


def test_a_password_is_kept_apart_and_shown_nowhere() -> None:
    proxy = parse_proxy("http://us%40er:p%3Aass@proxy:3128", "HTTPS_PROXY")
    assert proxy.authorization == "Basic dXNAZXI6cDphc3M="
    assert "ass" not in f"{proxy} {proxy!r} {proxy.url}"
    assert {secret.reveal() for secret in proxy.secrets()} == {
        "p:ass",
        "us@er:p:ass",
        "dXNAZXI6cDphc3M=",
        "us%40er:p%3Aass@proxy:3128",
    }
