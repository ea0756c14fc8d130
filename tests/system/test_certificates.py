"""`tls = "auto"`, with a real certbot and a real authority (pebble): got, renewed, refused, proven by DNS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab.acme import Authority, authority
from lab.house import House, house
from lab.load import Load, Mix, Target
from lab.ports import free_port
from tests.system.checks import assert_nothing_lost
from tests.system.conftest import move_in

pytestmark = pytest.mark.parts
CERTBOT = "certbot --no-verify-ssl"  # pebble's own certificate is nobody's
LIFE = timedelta(seconds=48)  # o8 renews when a third of it is left


@asynccontextmanager
async def secure_home(**more: Any) -> AsyncIterator[tuple[House, Authority, int]]:
    """A started house, its authority, and the port of its HTTPS sites."""
    https_port = free_port()
    async with house(NGINX_HTTPS_PORT=str(https_port), CERTBOT_COMMAND=CERTBOT) as home:
        with authority(home.http_port, **more) as pebble:
            home.environ["ACME_SERVER"] = pebble.directory
            await home.start()
            yield home, pebble, https_port


async def serial(host: str, port: int, root: str) -> str:
    """Of the certificate that a fresh connection is shown, checked as browsers do; empty when there is no good one."""
    context = ssl.create_default_context(cadata=root)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    except (OSError, ssl.SSLError):
        return ""
    found = str(writer.get_extra_info("peercert")["serialNumber"])
    writer.close()
    return found.lower().lstrip("0")


async def certificate(home: House, service: str) -> dict[str, Any]:
    return dict((await home.get(f"/services/{service}"))["certificate"] or {})


async def findings(home: House, service: str) -> dict[str, Any]:
    """What `o8 doctor` says about the certificate of a service."""
    found = await home.get("/doctor")
    items = found["findings"] if isinstance(found, dict) else found
    return next(dict(each) for each in items if each["subject"] == f"certificate of {service}")


def open_to_others(folder: Path) -> list[Path]:
    """Keys, or what leads to them, that somebody else may read."""
    secret = [*folder.rglob("privkey*.pem"), *folder.rglob("private_key.json")]
    assert len(secret) >= 2
    return [path for path in (*secret, folder) if path.stat().st_mode & 0o077]


def reloads_of(home: House) -> int:
    return (home.data / "nginx/error.log").read_text().count("signal 1 (SIGHUP) received")


async def moved(home: House, host: str) -> bool:
    """Whether plain HTTP sends visitors to HTTPS."""
    return (await home.visit(host))[0] == 301


async def test_a_certificate_comes_and_is_renewed_while_visitors_lose_nothing() -> None:
    host = "shop.example.org"
    async with secure_home(life=LIFE) as (home, pebble, port):
        root = pebble.root()
        tenant = await move_in(home, domains=[host], site={"tls": "auto", "hsts": True})
        first = await home.until(lambda: serial(host, port, root), 60)
        shown = await certificate(home, tenant.name)
        assert (shown["serial"], shown["level"], shown["trouble"]) == (first, "", "")
        assert open_to_others(home.data / "certificates") == []
        await home.until(lambda: moved(home, host))

        reloads = reloads_of(home)
        load = Load(Target("127.0.0.1", port, host, root), Mix(get=3, fresh=3), rate=60)
        load.start()

        async def renewed() -> bool:
            return await serial(host, port, root) not in ("", first)

        await home.until(renewed, LIFE.total_seconds())
        seen = load.report.requests
        await home.until(lambda: asyncio.sleep(0, load.report.requests > seen + 50))
        report = await load.stop()
        assert reloads_of(home) == reloads + 1
        assert_nothing_lost(report, reloads=True)
        assert report.requests > 300, str(report)
        assert datetime.fromisoformat(shown["ends_at"]) < datetime.fromisoformat(
            (await certificate(home, tenant.name))["ends_at"]
        )


@pytest.mark.thorough
async def test_what_the_authority_refuses_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    good, gone, wild = "good.example.org", "gone.example.org", "*.wild.example.org"
    async with secure_home() as (home, pebble, port):
        root = pebble.root()
        pebble.points_to(gone, "127.0.0.9")  # where nobody answers
        two = await move_in(home, domains=[good, gone], site={"tls": "auto"})

        # One name is not proven: the other one has its certificate all the same.
        await home.until(lambda: serial(good, port, root), 60)
        await home.until(lambda: moved(home, good))
        assert (await home.visit(gone))[0] == 200
        shown = await certificate(home, two.name)
        assert (shown["level"], shown["covers"]) == ("missing", [good])
        assert gone in shown["trouble"] and "connection refused" in shown["trouble"]
        assert (await findings(home, two.name))["state"] == "fault"

        # Its DNS is put right, and somebody does not want to wait.
        pebble.points_to(gone, "127.0.0.1")
        await home.post(f"/services/{two.name}/certificate")
        first = await home.until(lambda: serial(gone, port, root), 60)
        await home.until(lambda: moved(home, gone))
        assert (await certificate(home, two.name))["level"] == ""

        # A wildcard takes a hook, which a restart brings.
        async def another() -> bool:
            return await serial(gone, port, root) not in ("", first)

        other = await move_in(home, domains=[wild], site={"tls": "auto"})

        async def lacks_hook() -> bool:
            return "TLS_DNS_HOOK is not set" in (await certificate(home, other.name))["trouble"]

        await home.until(lacks_hook)
        assert (await home.visit("a.wild.example.org"))[0] == 200
        home.stop()
        chain = home.data / "certificates/live" / two.name / "fullchain.pem"
        chain.resolve().write_text("broken")  # and something happens to a certificate
        home.environ["TLS_DNS_HOOK"] = str(pebble.dns_hook(tmp_path / "hook"))
        await home.start()
        await home.until(lambda: serial("a.wild.example.org", port, root), 60)
        await home.until(another, 60)


@pytest.mark.thorough
async def test_an_authority_that_is_away_is_asked_again_and_the_old_certificate_serves() -> None:
    host, late = "shop.example.org", "late.example.org"
    async with secure_home() as (home, pebble, port):
        root = pebble.root()
        tenant = await move_in(home, domains=[host], site={"tls": "auto"})
        first = await home.until(lambda: serial(host, port, root), 60)
        home.stop()
        home.environ["ACME_SERVER"] = "https://127.0.0.1:9/dir"
        await home.start()
        await tenant.apply(domains=[host, late])

        async def is_told() -> bool:
            return late in (await certificate(home, tenant.name))["trouble"]

        await home.until(is_told, 60)
        assert await serial(host, port, root) == first
        await home.until(lambda: moved(home, host))
        assert (await home.visit(late))[0] == 200  # the deployment is over: only then it is asked for
        found = await findings(home, tenant.name)
        assert (found["state"], late in found["message"]) == ("fault", True)
        home.stop()
        await home.start()
        assert await is_told()  # a restart does not ask sooner
