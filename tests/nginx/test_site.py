"""What a site does for its visitors, key by key of the service file, through a real nginx."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.errors import NginxError
from bot.models import Slot
from lab.backends import Backend
from lab.certificates import identity
from lab.ports import free_port
from tests.nginx.conftest import Front, configuration

pytestmark = pytest.mark.parts
Backends = tuple[Backend, Backend]


@pytest.fixture
def slots(backends: Backends) -> dict[Slot, list[Backend]]:
    return {"a": [backends[0]], "b": [backends[1]]}


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    """A certificate for web.test, as `site` wants it."""
    found = identity("web.test")
    (tmp_path / "chain.pem").write_bytes(found.certificate_pem)
    (tmp_path / "key.pem").write_bytes(found.key_pem)
    return {"tls": "certificate", "certificate": str(tmp_path / "chain.pem"), "key": str(tmp_path / "key.pem")}


# -- host names and ports


async def test_every_domain_is_served_and_no_other(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots, domains=["web.test", "www.web.test", "*.more.test"])
    for host in ("web.test", "www.web.test", "any.more.test", "WEB.test"):
        assert (await embedded.ask(host)).status == 200
    for host in ("unknown.test", "127.0.0.1", "o8-unknown.invalid"):
        with pytest.raises(aiohttp.ServerDisconnectedError):  # 444
            await embedded.ask(host)


async def test_without_domains_the_name_below_the_base_domain_serves(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots, domains=[])
    assert (await embedded.ask("web.apps.test")).status == 200


async def test_a_site_without_any_name_is_allowed(embedded: Front, slots: Any) -> None:
    assert await embedded.as_set(base_domain="").publish(slots, domains=[])
    assert "server_name" not in (embedded.nginx.site("web") or "")


@pytest.mark.parametrize("with_address", [True, False])
async def test_a_host_port_answers_to_any_name_and_follows_the_switch(
    embedded: Front, slots: Any, with_address: bool
) -> None:
    port = free_port()
    await embedded.publish(slots, domains=[], host_port=f"127.0.0.1:{port}" if with_address else str(port))
    assert (await embedded.ask("whatever", port=port)).json["name"] == "one"
    await embedded.nginx.point("web", "b")
    assert (await embedded.ask("127.0.0.1", port=port)).json["name"] == "two"


async def test_a_host_port_that_is_the_port_of_the_sites_takes_unknown_names(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots, host_port=str(embedded.port))
    assert (await embedded.ask("unknown.test")).json["name"] == "one"
    await embedded.nginx.withdraw("web")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await embedded.ask("unknown.test")


async def test_two_services_cannot_have_one_host_port(embedded: Front, slots: Any) -> None:
    port = str(free_port())
    await embedded.publish(slots, host_port=port)
    with pytest.raises(NginxError, match="duplicate default server"):
        await embedded.publish(slots, name="other", domains=["other.test"], host_port=port)
    assert (await embedded.ask("x", port=int(port))).status == 200


# -- what the service sees


async def test_the_service_sees_what_the_visitor_asked(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    answer = await embedded.ask("web.test:8443", "/a%2Fb?x=%20&y", headers={"Proxy": "http://evil"})
    seen = answer.json["headers"]
    assert answer.json["path"] == "/a%2Fb?x=%20&y"
    assert seen["host"] == seen["x-forwarded-host"] == "web.test:8443"
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert "proxy" not in seen


async def test_a_visitor_cannot_pretend_to_be_somewhere_else(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    lie = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "X-Forwarded-Proto": "https"}
    seen = (await embedded.ask("web.test", headers=lie)).json["headers"]
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"


async def test_a_trusted_proxy_is_believed(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots, site={"trusted_proxies": ["127.0.0.0/8", "fd00::/8"]})
    told = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto": "https"}
    seen = (await embedded.ask("web.test", headers=told)).json["headers"]
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "203.0.113.9"
    assert seen["x-forwarded-proto"] == "https"


async def test_another_header_can_name_the_visitor(embedded: Front, slots: Any) -> None:
    site = {"trusted_proxies": ["127.0.0.1"], "client_address_header": "CF-Connecting-IP"}
    await embedded.publish(slots, site=site)
    told = {"CF-Connecting-IP": "203.0.113.9", "X-Forwarded-For": "198.51.100.1"}
    assert (await embedded.ask("web.test", headers=told)).json["headers"]["x-real-ip"] == "203.0.113.9"


async def test_a_service_cannot_send_visitors_to_internal_places(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    for place in ("@o8_maintenance", "/elsewhere"):
        answer = await embedded.ask("web.test", f"/accel?to={place}")
        assert (answer.status, answer.text) == (200, "as I said")
    assert (await embedded.ask("web.test", "/@o8_maintenance")).json["name"] == "one"  # a path like any other


async def test_a_503_of_the_service_is_not_the_maintenance_page(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    answer = await embedded.ask("web.test", "/busy")
    assert (answer.status, answer.text) == (503, "busy, says the service")


# -- bodies, streams, replicas


async def test_a_body_over_the_limit_is_refused(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots, site={"max_body_size": "1k"})
    assert (await embedded.ask("web.test", method="POST", data=b"x" * 1025)).status == 413
    assert (await embedded.ask("web.test", method="POST", data=b"x" * 1024)).json["length"] == 1024


async def test_a_large_body_arrives_whole(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    assert (await embedded.ask("web.test", method="POST", data=b"x" * 2_000_000)).json["length"] == 2_000_000


async def test_events_arrive_while_the_answer_is_still_open(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    url = f"http://127.0.0.1:{embedded.port}/events"
    async with embedded.client.get(url, headers={"Host": "web.test"}) as answer:
        assert await asyncio.wait_for(answer.content.readline(), 2) == b"data: first\n"


async def test_websockets_need_no_setting(embedded: Front, slots: Any) -> None:
    await embedded.publish(slots)
    url = f"http://127.0.0.1:{embedded.port}/ws"
    async with embedded.client.ws_connect(url, headers={"Host": "web.test"}) as websocket:
        await websocket.send_str("hello")
        assert await websocket.receive_str() == "one: hello"


async def test_all_replicas_of_a_slot_serve(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": list(backends), "b": list(backends)})
    assert {(await embedded.ask("web.test")).json["name"] for _ in range(8)} == {"one", "two"}


async def test_a_post_is_never_sent_twice_but_a_get_may_be(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": list(backends), "b": list(backends)})
    assert (await embedded.ask("web.test", "/cut", method="POST", data=b"pay")).status == 502
    assert backends[0].cuts + backends[1].cuts == 1
    await embedded.publish({"a": list(backends), "b": list(backends)}, site={"timeout": 59})  # forgets who failed
    await embedded.ask("web.test", "/cut")
    assert backends[0].cuts + backends[1].cuts == 3


async def test_a_replica_that_is_gone_is_passed_over(embedded: Front, backends: Backends) -> None:
    gone = Backend("gone")
    gone.address = gone.address._replace(port=free_port())
    await embedded.publish({"a": [gone, backends[0]], "b": [backends[1]]})
    assert {(await embedded.ask("web.test", method="POST")).status for _ in range(6)} == {200}


# -- TLS


@pytest.fixture
async def tls() -> AsyncIterator[aiohttp.ClientSession]:
    """Believes any certificate."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        yield session


async def test_https_serves_and_http_redirects_to_it(
    embedded: Front, slots: Any, pair: dict[str, str], tls: aiohttp.ClientSession
) -> None:
    await embedded.publish(slots, site=pair)
    moved = await embedded.ask("web.test", "/a?b=c")
    port = embedded.settings.nginx_https_port
    assert (moved.status, moved.headers["location"]) == (301, f"https://web.test:{port}/a?b=c")
    async with tls.get(f"https://127.0.0.1:{port}/", server_hostname="web.test", headers={"Host": "web.test"}) as seen:
        assert (await seen.json())["headers"]["x-forwarded-proto"] == "https"
        assert "Strict-Transport-Security" not in seen.headers


async def test_hsts_is_sent_over_https_only(
    embedded: Front, slots: Any, pair: dict[str, str], tls: aiohttp.ClientSession
) -> None:
    await embedded.publish(slots, site=pair | {"hsts": True, "redirect_to_https": False})
    assert "strict-transport-security" not in (await embedded.ask("web.test")).headers
    url = f"https://127.0.0.1:{embedded.settings.nginx_https_port}/"
    async with tls.get(url, server_hostname="web.test", headers={"Host": "web.test"}) as seen:
        assert seen.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(("wanted", "offered"), [(True, "h2"), (False, "http/1.1")])
async def test_http2_is_offered_as_configured(
    embedded: Front, slots: Any, pair: dict[str, str], wanted: bool, offered: str
) -> None:
    await embedded.publish(slots, site=pair | {"http2": wanted})
    assert await alpn(embedded.settings.nginx_https_port, "web.test") == offered


async def test_an_unknown_name_gets_no_handshake(embedded: Front, slots: Any, pair: dict[str, str]) -> None:
    await embedded.publish(slots, site=pair)
    with pytest.raises(ssl.SSLError):
        await alpn(embedded.settings.nginx_https_port, "unknown.test")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await embedded.ask("unknown.test")


async def test_without_a_tls_site_nothing_listens_for_https(embedded: Front, slots: Any, pair: dict[str, str]) -> None:
    await embedded.publish(slots, site=pair)
    await embedded.publish(slots)
    with pytest.raises(OSError, match="Connect call failed"):
        await alpn(embedded.settings.nginx_https_port, "web.test")


async def test_a_snippet_brings_the_certificate(
    embedded: Front, slots: Any, pair: dict[str, str], tmp_path: Path
) -> None:
    snippet = tmp_path / "tls.conf"
    snippet.write_text(f"ssl_certificate {pair['certificate']};\nssl_certificate_key {pair['key']};\n")
    await embedded.as_set(nginx_snippet=str(snippet)).publish(slots, site={"tls": "snippet"})
    assert await alpn(embedded.settings.nginx_https_port, "web.test") == "h2"


def test_a_snippet_that_is_not_set_is_asked_for(embedded: Front, slots: Any) -> None:
    with pytest.raises(NginxError, match="NGINX_SNIPPET is empty"):
        embedded.text(slots, site={"tls": "snippet"})


async def test_a_missing_certificate_changes_nothing(embedded: Front, slots: Any, pair: dict[str, str]) -> None:
    await embedded.publish(slots)
    with pytest.raises(NginxError, match="missing"):
        await embedded.publish(slots, site=pair | {"key": pair["key"].replace("key.pem", "missing.pem")})
    assert (await embedded.ask("web.test")).status == 200


async def test_maintenance_shows_over_https_too(
    embedded: Front, slots: Any, pair: dict[str, str], tls: aiohttp.ClientSession
) -> None:
    await embedded.publish(slots, site=pair)
    await embedded.nginx.maintenance("web", True)
    url = f"https://127.0.0.1:{embedded.settings.nginx_https_port}/"
    async with tls.get(url, server_hostname="web.test", headers={"Host": "web.test"}) as seen:
        assert (seen.status, seen.headers["Retry-After"]) == (503, "10")


async def test_names_as_long_as_they_may_be_are_served(embedded: Front, slots: Any) -> None:
    label = "a" * 63
    host = f"{label}.{label}.{label}.{'b' * 61}"
    await embedded.publish(slots, name=label, domains=[host])
    assert (await embedded.ask(host)).status == 200


async def test_names_with_hyphens_share_nothing(embedded: Front, slots: Any) -> None:
    for name in ("a", "a-b", "a-trusted", "slot", "port", "connection", "00"):
        await embedded.publish(slots, name=name, domains=[f"{name}.test"], site={"trusted_proxies": ["10.0.0.0/8"]})
        assert (await embedded.ask(f"{name}.test")).status == 200


def test_the_same_configuration_is_always_the_same_text(embedded: Front, slots: Any) -> None:
    assert embedded.text(slots) == embedded.text(slots)
    assert embedded.text(slots) != embedded.text(slots, site={"timeout": 61})
    assert embedded.text(slots) == embedded.text(slots, image="ghcr.io/acme/other")
    assert configuration().fingerprint


async def alpn(port: int, name: str) -> str | None:
    """What a TLS handshake with `name` agrees on."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    found: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    return found.selected_alpn_protocol()
