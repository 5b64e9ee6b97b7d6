"""Five accounts out of a company's network: through its proxy, with its own authority, past it by NO_PROXY."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from company_network import Authority, ConnectProxy, forward_to, listen_on_free_port, run_in_background_loop
from processes import SandboxProcess, Site

NAMES = ("one", "two", "three", "four", "inside")
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PASSWORD = "hunter2-and-more"
# Only this process knows the names of this network, as a company's DNS would; a proxy looks up what it is asked for.
RESOLVER = """\
import socket
_look_up = socket.getaddrinfo
def getaddrinfo(host, *rest, **options):
    if host == "inside.works.example":
        host = "127.0.0.1"
    elif str(host).endswith(".example"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _look_up(host, *rest, **options)
socket.getaddrinfo = getaddrinfo
"""


@dataclass
class Company:
    """Its authority's file, its proxy, and how many connections reached each of its servers."""

    ca_file: Path
    proxy: ConnectProxy
    proxy_port: int
    inside_port: int
    connections: dict[str, int]

    @property
    def proxy_url(self) -> str:
        return f"http://works:{PASSWORD}@127.0.0.1:{self.proxy_port}"


@pytest.fixture
def company(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Company]:
    port = urlsplit(sandbox.url).port
    assert port is not None
    counted = {"outside": 0, "inside": 0}
    authority = Authority(tmp_path)

    async def outside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counted["outside"] += 1
        await forward_to(port)(reader, writer)

    async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counted["inside"] += 1
        await forward_to(port)(reader, writer)

    async def opened() -> AsyncIterator[Company]:
        context = authority.server("*.works.example")
        async with (
            listen_on_free_port(outside, context) as outside_port,
            listen_on_free_port(inside, context) as inside_port,
        ):
            ports = dict.fromkeys((f"{name}.works.example" for name in NAMES[:4]), outside_port)
            proxy = ConnectProxy(ports, user="works", password=PASSWORD)
            async with listen_on_free_port(proxy) as proxy_port:
                yield Company(authority.file, proxy, proxy_port, inside_port, counted)

    with run_in_background_loop(opened) as company:
        yield company


@pytest.fixture
def works(site: Site, company: Company, tmp_path: Path) -> Site:
    """A deployment in the company, which has only the names of its own network."""
    site.write_accounts(*NAMES)
    path = site.folder / "accounts.toml"
    text = path.read_text()
    for name in NAMES:
        port = f":{company.inside_port}" if name == "inside" else ""
        address = f"https://{name}.works.example{port}/v1"
        text = re.sub(rf'(name = "{name}"\n(?:.+\n)*?)base_url = ".*"', rf'\1base_url = "{address}"', text)
    path.write_text(text)
    names = tmp_path / "names"
    names.mkdir()
    (names / "sitecustomize.py").write_text(RESOLVER)
    for key in (site.folder / "keys").iterdir():
        key.chmod(0o600)
    for variable in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy", *TRUST):
        site.environ.pop(variable, None)
    site.environ |= {
        "PYTHONPATH": str(names),
        "HTTPS_PROXY": company.proxy_url,
        "NO_PROXY": "inside.works.example",
        "ORCHESTRATOR_CA_FILE": str(company.ca_file),
    }
    return site


def test_five_accounts_are_trained_through_the_proxy(works: Site, company: Company, sandbox: SandboxProcess) -> None:
    ran = works.run("run")
    assert ran.code == 0, ran.err
    assert {name: job["state"] for name, job in works.jobs().items()} == dict.fromkeys(NAMES, "succeeded")
    assert sandbox.count_files_and_jobs() == dict.fromkeys(NAMES, (1, 1))
    asked = {line.removeprefix("CONNECT ").partition(".")[0] for line in company.proxy.log}
    assert asked == set(NAMES[:4])
    assert len(company.proxy.log) == company.connections["outside"] > 4  # no way out but through the proxy
    assert company.connections["inside"] > 0
    assert company.proxy.refused == []
    told = (
        ran.out
        + ran.err
        + "".join(path.read_bytes().decode(errors="replace") for path in works.data.rglob("*") if path.is_file())
    )
    assert PASSWORD not in told


def test_doctor_names_the_proxy_without_its_password(works: Site, company: Company) -> None:
    told = works.run("doctor", "--json")
    assert told.code == 0, told.out
    lines = [line["message"] for line in told.json if line["thing"] == "network"]
    assert lines == [
        f"one, two, three, four: through the proxy http://127.0.0.1:{company.proxy_port} (HTTPS_PROXY); "
        f"trusted authorities: the system's and ORCHESTRATOR_CA_FILE ({company.ca_file})",
        f"inside: without a proxy; trusted authorities: the system's and ORCHESTRATOR_CA_FILE ({company.ca_file})",
    ]
    assert PASSWORD not in told.out + told.err


def test_untrusted_authority_holds_accounts_until_it_is_trusted(
    works: Site, company: Company, sandbox: SandboxProcess
) -> None:
    known = works.environ.pop("ORCHESTRATOR_CA_FILE")
    ran = works.run("run")
    assert ran.code == 1
    holds = {name: job["error"] for name, job in works.jobs().items()}
    assert {hold["kind"] for hold in holds.values()} == {"certificate_not_trusted"}
    assert all("O=Example Works, OU=Private Root" in hold["message"] for hold in holds.values())
    assert all("ORCHESTRATOR_CA_FILE" in hold["hint"] for hold in holds.values())
    assert sandbox.count_files_and_jobs() == {}

    ran = works.run("run", ORCHESTRATOR_CA_FILE=known)
    assert ran.code == 0, ran.err
    assert sandbox.count_files_and_jobs() == dict.fromkeys(NAMES, (1, 1))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ORCHESTRATOR_CA_FILE", "nowhere.pem", "ORCHESTRATOR_CA_FILE: nowhere.pem cannot be read: No such file"),
        ("SSL_CERT_FILE", "nowhere.pem", "SSL_CERT_FILE: nowhere.pem cannot be read: No such file"),
        ("SSL_CERT_FILE", "accounts.toml", "SSL_CERT_FILE: accounts.toml contains no certificate"),
        ("SSL_CERT_DIR", "nowhere", "SSL_CERT_DIR: nowhere is not a folder"),
        ("SSL_CERT_DIR", "chats", "SSL_CERT_DIR: chats contains no certificate that is named by its hash"),
        (
            "HTTPS_PROXY",
            "socks5://u:hunter2-and-more@proxy:1",
            "the environment variable HTTPS_PROXY is a SOCKS proxy",
        ),
    ],
)
def test_wrong_network_settings_are_one_message_and_exit_code_2(
    works: Site, variable: str, value: str, said: str
) -> None:
    for command in (("accounts",), ("run",)):
        told = works.run(*command, **{variable: value})
        assert told.code == 2, told.err
        assert f"error: {said}" in told.err
        assert "hint: " in told.err
        assert "Traceback" not in told.err
        assert PASSWORD not in told.out + told.err
    doctor = works.run("doctor", "--json", **{variable: value})
    assert doctor.code == 1
    assert any(line["verdict"] == "error" and line["message"].startswith(said) for line in doctor.json)
