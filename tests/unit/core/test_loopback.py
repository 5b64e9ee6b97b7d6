from __future__ import annotations

import pytest

from orchestrator.core.loopback import PRIVATE_DOMAINS, is_in_private_network, is_loopback


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)
    assert is_in_private_network(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.example.com", "10.0.0.1", "0.0.0.0", "128.0.0.1", "[::2]", "example"]
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "[fe80::1]", "fc00::1",
        "127.1", "2130706433", "0x7f000001", "0X7F.1", "10.0.0.1.", "server", "", "metadata.google.internal",
        "printer.LAN", "nas.local.",
    ],
)  # fmt: skip
def test_addresses_and_names_that_are_not_public_are_private(host: str) -> None:
    assert is_in_private_network(host)


@pytest.mark.parametrize("domain", sorted(PRIVATE_DOMAINS))
def test_name_below_a_domain_without_public_dns_is_private(domain: str) -> None:
    assert is_in_private_network(f"host.{domain}")
    assert not is_in_private_network(f"{domain}.example.com")


@pytest.mark.parametrize(
    "host", ["api.openai.com", "8.8.8.8", "[2606:4700::1111]", "EXAMPLE.COM.", "local.com", "x0.de", "v1.example"]
)
def test_public_hosts_are_not_private(host: str) -> None:
    assert not is_in_private_network(host)
