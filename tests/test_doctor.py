"""`o8 doctor`: every illness is named with its cure, and no illness keeps it from seeing the others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bot import clock, doctor, findings, routes
from bot.doctor import Doctor, Finding
from bot.engines import Credentials, EngineFacts
from bot.engines.docker import DockerEngine
from bot.nginx import Nginx, NginxFacts
from bot.registry import Registry
from bot.routes import Route
from bot.settings import Settings, load
from bot.store import Store
from lab.engine import Place
from lab.http_server import serving
from lab.registry import PASSWORD, USER, password_registry

SUBNET = IPv4Network("172.29.0.0/16")
ENGINE = EngineFacts(
    version="20.10.24", api_version="1.41", platform="linux/amd64", storage_bytes_free=50, storage_bytes_total=100,
    is_live_restore=True, data_root="/var/lib/docker", storage_driver="overlay2",
)  # fmt: skip
NGINX = NginxFacts("system", "1.22.1", True, "ok", True, True, "10m", 7)
ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100000A	0003	0	0	0	00000000	0	0	0
br-1a2b	00001DAC	00000000	0001	0	0	0	0000FFFF	0	0	0
tun0	00000AAC	00000000	0001	0	0	0	0000FEFF	0	0	0
"""


def worst(found: tuple[Finding, ...] | list[Finding], subject: str) -> str:
    states = [finding.state for finding in found if finding.subject == subject]
    return max(states, key=("ok", "warning", "fault").index) if states else ""


def of(found: tuple[Finding, ...] | list[Finding], subject: str) -> Finding:
    return next(f for f in found if f.subject == subject and f.state == worst(found, subject))


# What facts mean


@pytest.mark.parametrize(
    ("change", "subject", "state", "says"),
    [
        ({}, "Docker", "ok", "API 1.41"),
        ({"api_version": "1.40"}, "Docker", "warning", "Install Docker 20.10"),
        ({"api_version": "1.9"}, "Docker", "warning", "Install Docker 20.10"),
        ({}, "Docker live-restore", "ok", ""),
        ({"is_live_restore": False}, "Docker live-restore", "warning", '"live-restore": true'),
        ({"storage_driver": "vfs"}, "Docker storage", "warning", '"storage-driver": "overlay2"'),
        ({"storage_driver": ""}, "Docker storage", "", ""),
        ({"storage_bytes_free": 21}, "Docker disk", "ok", "21%"),
        ({"storage_bytes_free": 20}, "Docker disk", "warning", "docker system df"),
        ({"storage_bytes_free": 6}, "Docker disk", "warning", "o8 prune"),
        ({"storage_bytes_free": 5}, "Docker disk", "fault", "o8 prune"),
        ({"storage_bytes_total": 0}, "Docker disk", "warning", "Not checked"),
    ],
)
def test_facts_of_docker(change: dict[str, Any], subject: str, state: str, says: str) -> None:
    found = list(findings.of_engine(ENGINE.model_copy(update=change)))
    assert worst(found, subject) == state
    if state:
        assert says in of(found, subject).message + of(found, subject).next_step


@pytest.mark.parametrize(
    ("foreign", "taken"),
    [
        ((), ""),
        (("o8-web-a-1", "o8-web-2-b-8", "web", "o8-other-a-1"), "o8-web-a-1 o8-web-2-b-8"),
        (("o8-other-a-1", "o8-web-c-1", "o8-web-a-9x", "o8-webs-a-1"), ""),
    ],
)
def test_a_foreign_container_is_in_the_way_only_of_a_service_here(foreign: tuple[str, ...], taken: str) -> None:
    found = findings.of_strangers(foreign, frozenset({"web", "web-2"}))
    assert found.state == ("fault" if taken else "ok")
    assert found.next_step.endswith(f"`docker rm -f {taken}`.") == bool(taken)


def test_routes_are_read_as_the_kernel_writes_them() -> None:
    assert routes.read(ROUTES) == (
        Route(SUBNET, "br-1a2b"), Route(IPv4Network("172.10.0.0/15"), "tun0"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("route", "state"),
    [
        (Route(SUBNET, "br-1a2b"), "ok"),  # its own bridge
        (Route(IPv4Network("172.30.0.0/16"), "tun0"), "ok"),
        (Route(SUBNET, "tun0"), "fault"),
        (Route(IPv4Network("172.29.8.0/24"), "tun0"), "fault"),
        (Route(IPv4Network("172.29.0.0/20"), "br-9f9f"), "fault"),  # another network of Docker
        (Route(IPv4Network("172.16.0.0/12"), "tun0"), "warning"),
    ],
)
def test_a_route_into_the_subnet_is_found(route: Route, state: str) -> None:
    found = findings.of_routes(SUBNET, routes.clashes((route,), SUBNET))
    assert found.state == state
    assert state == "ok" or (str(route.network) in found.message and "O8_SUBNET" in found.next_step)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a network of its own")
def test_a_route_is_found_in_a_real_kernel() -> None:
    look = "from bot import routes; print(routes.read(routes.TABLE.read_text()))"
    make = "ip link set lo up && ip route add 172.29.8.0/24 dev lo"
    command = ["unshare", "--net", "sh", "-c", f"{make} && exec {sys.executable} -c '{look}'"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "IPv4Network('172.29.8.0/24'), interface='lo'" in found


@pytest.mark.parametrize(
    ("seconds", "state", "says"),
    [(0, "ok", ""), (-9, "ok", ""), (11, "warning", "11 s ahead of"), (-59, "warning", "59 s behind"),
     (61, "fault", "set-ntp true"), (-86400, "fault", "behind"), (None, "warning", "Not checked")],
)  # fmt: skip
def test_a_clock_that_is_off(seconds: float | None, state: str, says: str) -> None:
    found = findings.of_clock(None if seconds is None else timedelta(seconds=seconds), "ghcr.io")
    assert found.state == state
    assert says in found.message + found.next_step


@pytest.mark.parametrize(
    ("mode", "owner", "state", "says"),
    [(0o40700, 7, "ok", ""), (0o40755, 7, "fault", "chmod 700 /data"), (0o40700, 8, "fault", "chown -R 7 /data")],
)
def test_a_folder_that_others_may_look_into(mode: int, owner: int, state: str, says: str) -> None:
    found = findings.of_folder(Path("/data"), mode, owner, 7)
    assert found.state == state and says in found.next_step


@pytest.mark.parametrize(
    ("written", "state"),
    [("10m", "ok"), ("1h 30m", "ok"), ("60", "ok"), ("60000ms", "ok"), ("30s", "warning"), ("5", "warning"),
     ("", "warning")],
)  # fmt: skip
def test_a_worker_shutdown_timeout_that_hurts(written: str, state: str) -> None:
    found = findings.of_shutdown_timeout(written)
    assert found.state == state
    assert state == "ok" or "worker_shutdown_timeout 10m;" in found.next_step


@given(st.text(max_size=20))
def test_no_written_timeout_is_too_strange(written: str) -> None:
    findings.of_shutdown_timeout(written)


@pytest.mark.parametrize(
    ("change", "subject", "says"),
    [
        ({"is_running": False, "generation": None}, "nginx", "systemctl start nginx"),
        ({"generation": None}, "nginx", "sudo -n nginx -t && sudo -n systemctl reload nginx"),
        ({"test_output": "unknown directive in /etc/nginx/x:3"}, "nginx configuration", "/etc/nginx/x:3"),
        ({"is_included": False, "generation": None}, "nginx include", "include /managed/*.conf;"),
        ({"can_stat_slots": False}, "nginx slots", "namei -l /managed/slots"),
        ({"worker_shutdown_timeout": ""}, "nginx shutdown", "worker_shutdown_timeout 10m;"),
    ],
)
def test_facts_of_nginx(house: House, change: dict[str, Any], subject: str, says: str) -> None:
    healthy = list(house.doctor.of_nginx(NGINX))
    assert all(finding.state == "ok" for finding in healthy)
    found = list(house.doctor.of_nginx(NGINX._replace(**change)))
    assert worst(found, subject) in ("warning", "fault")
    assert says in of(found, subject).message + of(found, subject).next_step


# The clock of others


async def test_the_clock_is_compared_with_any_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        fast = datetime.now(UTC) + timedelta(seconds=300)
        return web.Response(status=401, headers={"Date": format_datetime(fast, usegmt=True)})

    application = web.Application()
    application.router.add_get("/v2/", answer)
    with serving(application) as address:
        offset = await clock.offset(URL(f"http://{address}/v2/"), 5)
    assert offset is not None and abs(offset + timedelta(seconds=300)) < timedelta(seconds=3)


async def test_a_clock_that_nobody_can_be_asked_about_is_not_checked(unused_tcp_port: int) -> None:
    assert await clock.offset(URL(f"http://127.0.0.1:{unused_tcp_port}/"), 1) is None


# The whole


class House:
    """A doctor with real parts, each of which can be ill."""

    def __init__(self, settings: Settings, store: Store, session: aiohttp.ClientSession, place: Place | None) -> None:
        self.settings = settings
        self.store = store
        self.engine = DockerEngine(
            host=settings.docker_host, network=place.network if place else "o8-none", subnet=settings.o8_subnet,
            installation=store.installation, volumes_dir=settings.volumes_dir, patience_s=3,
        )  # fmt: skip
        credentials = Credentials(settings.docker_server_address, settings.docker_username, settings.registry_password)
        self.nginx = Nginx(settings)
        self.doctor = Doctor(settings, store, self.engine, self.nginx, Registry(session, credentials, timeout_s=3))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "data" / "o8.sqlite")
    yield store
    await store.close()


@pytest.fixture
async def house(
    tmp_path: Path, store: Store, session: aiohttp.ClientSession, unused_tcp_port: int
) -> AsyncIterator[House]:
    """Nothing of it works: no Docker, no nginx, no registry, no secret, an open folder."""
    (tmp_path / "data").chmod(0o755)
    settings = load({
        "O8_DATA_DIR": str(tmp_path / "data"), "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
        "DOCKER_SERVER_ADDRESS": f"127.0.0.1:{unused_tcp_port}", "NGINX_MODE": "system",
        "NGINX_MANAGED_DIR": "/managed", "NGINX_HTTP_PORT": str(unused_tcp_port), "AUTH_PASSWORD": "short",
        "GITHUB_AUTO_INSTALL": "acme",
    }, tmp_path / ".env")  # fmt: skip
    house = House(settings, store, session, None)
    yield house
    await house.engine.close()


async def test_where_nothing_works_everything_is_named_with_its_cure(house: House) -> None:
    await house.store.record("cli:ann", "apply", "web", {})
    await house.store.write(lambda db: db.execute("UPDATE audit SET actor = 'cli:bob'"))
    found = await house.doctor.check()
    for subject in ("Docker", "nginx", "registry", "data folder", "audit"):
        assert worst(found, subject) == "fault", subject
    for subject in ("webhook", "login", "clock"):
        assert worst(found, subject) == "warning", subject
    assert worst(found, "database") == "ok"
    for finding in found:
        assert finding.message.strip()
        assert (finding.state == "ok") == (finding.next_step == ""), finding
    assert "chmod 700" in of(found, "data folder").next_step
    assert "openssl rand -hex 32" in of(found, "webhook").next_step
    assert "Nothing of GITHUB_AUTO_INSTALL installs itself." in of(found, "webhook").message
    assert "less than 10 characters" in of(found, "login").message


async def test_checks_run_at_the_same_time_and_a_hanging_one_is_cut(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that takes connections and never answers."""
    monkeypatch.setattr(doctor, "LIMIT_S", 0.5)
    server = await asyncio.start_unix_server(lambda *_: asyncio.sleep(60), tmp_path / "none.sock")
    async with server:
        began = asyncio.get_running_loop().time()
        found = await house.doctor.check()
        assert asyncio.get_running_loop().time() - began < 2
    assert of(found, "Docker").message == "No answer within 0 s."
    assert worst(found, "webhook") == "warning"


async def test_an_unexpected_failure_of_one_check_is_a_finding(house: House, store: Store) -> None:
    await store.write(lambda db: db.execute("INSERT INTO meta VALUES ('audit', 'x:y')"))
    found = await house.doctor.check()
    assert of(found, "audit").message == "It could not be checked: ValueError."
    assert worst(found, "database") == "ok"


async def test_a_read_only_data_folder_is_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = await house.doctor.check()
    assert any("Read-only file system" in f.message and "findmnt" in f.next_step for f in found)


@pytest.mark.parts
async def test_where_everything_works_nothing_is_a_fault(
    tmp_path: Path, store: Store, session: aiohttp.ClientSession, place: Place, engine_host: str,
    unused_tcp_port_factory: Any,
) -> None:  # fmt: skip
    with password_registry() as registry:
        settings = load({
            "O8_DATA_DIR": str(tmp_path / "data"), "DOCKER_HOST": engine_host, "O8_SUBNET": str(place.subnet),
            "O8_NETWORK": place.network, "DOCKER_SERVER_ADDRESS": registry.address, "DOCKER_USERNAME": USER,
            "DOCKER_PASSWORD": PASSWORD, "GITHUB_WEBHOOK_SECRET": "0123456789abcdef", "NGINX_MODE": "embedded",
            "NGINX_LISTEN": "127.0.0.1", "NGINX_HTTP_PORT": str(unused_tcp_port_factory()),
            "NGINX_HTTPS_PORT": str(unused_tcp_port_factory()),
        }, tmp_path / ".env")  # fmt: skip
        house = House(settings, store, session, place)
        try:
            await house.nginx.start()
            found = await house.doctor.check()
        finally:
            await house.nginx.shut_down()
            await house.engine.close()
    assert [f for f in found if f.state == "fault"] == []
    for subject in ("Docker", "network", "nginx", "registry", "webhook", "data folder", "database", "audit", "clock"):
        assert worst(found, subject) == "ok", of(found, subject)
    assert of(found, "registry").message == f"{registry.address} knows {USER}."


@pytest.mark.parts
async def test_a_wrong_password_is_found(
    tmp_path: Path, store: Store, session: aiohttp.ClientSession, engine_host: str
) -> None:
    with password_registry() as registry:
        settings = load({
            "O8_DATA_DIR": str(tmp_path / "data"), "DOCKER_HOST": engine_host, "NGINX_MODE": "embedded",
            "DOCKER_SERVER_ADDRESS": registry.address, "DOCKER_USERNAME": USER, "DOCKER_PASSWORD": "wrong",
        }, tmp_path / ".env")  # fmt: skip
        house = House(settings, store, session, None)
        found = await house.doctor.check()
        await house.engine.close()
    assert worst(found, "registry") == "fault"
    assert "DOCKER_PASSWORD" in of(found, "registry").next_step
