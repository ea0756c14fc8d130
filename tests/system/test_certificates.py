"""`tls = "auto"`: from nothing to HTTPS, and a renewal, with a real certbot and a real authority (pebble)."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest

from lab.acme import Authority, authority
from lab.house import House, house
from lab.ports import free_port
from tests.system.conftest import move_in

pytestmark = pytest.mark.parts
CERTBOT = "certbot --no-verify-ssl"  # pebble's own certificate is nobody's


@pytest.fixture
async def secure_home() -> AsyncIterator[tuple[House, Authority, int]]:
    https_port = free_port()
    async with house(NGINX_HTTPS_PORT=str(https_port), CERTBOT_COMMAND=CERTBOT) as home:
        with authority(home.http_port) as pebble:
            home.environ["ACME_SERVER"] = pebble.directory
            await home.start()
            yield home, pebble, https_port


def _peer(answer: aiohttp.ClientResponse) -> str:
    """The serial number of the certificate that was shown."""
    assert answer.connection and answer.connection.transport
    return str(answer.connection.transport.get_extra_info("peercert")["serialNumber"])


async def fetch(host: str, port: int, trust: str) -> tuple[int, str, str]:
    """Status, text and the certificate's serial of a fresh HTTPS request, checked as browsers do."""
    context = ssl.create_default_context(cadata=trust)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}/", headers={"Host": host}, ssl=context, server_hostname=host) as answer,
    ):
        serial = _peer(answer)
        return answer.status, await answer.text(), serial


async def test_a_service_gets_a_certificate_and_keeps_it_up_to_date(secure_home: tuple[House, Authority, int]) -> None:
    home, pebble, port = secure_home
    host = "shop.example.org"
    tenant = await move_in(home, domains=[host], site={"tls": "auto"})

    async def is_secure() -> tuple[int, str, str] | None:
        try:
            return await fetch(host, port, pebble.root())
        except aiohttp.ClientError:
            return None

    status, text, _ = await home.until(is_secure, 60)
    assert (status, "0001" in text) == (200, True)
    status, _ = await home.visit(host)
    assert status == 301
    assert tenant.name
