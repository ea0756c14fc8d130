"""`tls = "auto"` between nothing and a renewed certificate, and renewals of other people's, through a real nginx."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lab.backends import Backend
from lab.certificates import identity, keep
from lab.ports import free_port
from tests.nginx.conftest import Front

pytestmark = pytest.mark.parts
AUTO = {"tls": "auto"}


@pytest.fixture
def slots(backends: tuple[Backend, Backend]) -> Any:
    return {"a": [backends[0]], "b": [backends[1]]}


def has(front: Front, *names: str) -> None:
    keep(front.settings.certificates_dir, "web", identity(*names, quick=True))


async def shown(front: Front, name: str) -> str:
    """Serial number of the certificate that a fresh connection sees; empty when there is none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = front.settings.nginx_https_port
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    except OSError:
        return ""
    from cryptography import x509

    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"


def answer_to(front: Front, token: str) -> None:
    """As certbot puts it there."""
    folder = front.nginx.acme_folder / ".well-known/acme-challenge"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / token).write_text(f"{token}.thumbprint")


async def test_until_there_is_a_certificate_http_serves_and_then_only_its_names_move(front: Front, slots: Any) -> None:
    names = ["web.test", "www.web.test", "late.test"]
    await front.publish(slots, domains=names, site=AUTO)
    assert [(await front.ask(name)).status for name in names] == [200, 200, 200]
    has(front, "web.test", "*.web.test")
    await front.publish(slots, domains=names, site=AUTO)
    assert [(await front.ask(name)).status for name in names] == [301, 301, 200]
    assert await shown(front, "www.web.test")
    assert await shown(front, "late.test") == ""


async def test_a_renewed_certificate_goes_live_by_one_reload_and_an_unchanged_one_by_none(
    embedded: Front, slots: Any
) -> None:
    has(embedded, "web.test")
    await embedded.publish(slots, site=AUTO)
    first, reloads = await shown(embedded, "web.test"), embedded.reloads()
    assert await embedded.publish(slots, site=AUTO) is False
    assert embedded.reloads() == reloads
    has(embedded, "web.test")
    assert await embedded.publish(slots, site=AUTO) is True
    assert embedded.reloads() == reloads + 1
    assert await shown(embedded, "web.test") not in ("", first)


@pytest.mark.parametrize("tls", ["certificate", "snippet"])
async def test_one_that_somebody_else_renewed_goes_live_too(
    embedded: Front, slots: Any, tmp_path: Path, tls: str
) -> None:
    chain, key, snippet = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "tls.conf"
    snippet.write_text(f"ssl_certificate {chain};\nssl_certificate_key {key};\n")
    site = {"tls": tls} | ({"certificate": str(chain), "key": str(key)} if tls == "certificate" else {})
    front, seen = embedded.as_set(nginx_snippet=str(snippet)), set()
    for _ in range(2):
        found = identity("web.test", quick=True)
        chain.write_bytes(found.certificate_pem)
        key.write_bytes(found.key_pem)
        assert await front.publish(slots, site=site) is True
        seen.add(await shown(front, "web.test"))
    assert len(seen - {""}) == 2


async def test_the_authority_finds_its_answer_with_redirect_in_maintenance_and_before_the_first_certificate(
    front: Front, slots: Any
) -> None:
    answer_to(front, "token1")
    path = "/.well-known/acme-challenge/token1"
    for step in ("before", "redirected"):
        await front.publish(slots, site=AUTO)
        for is_on in (False, True):
            await front.nginx.maintenance("web", is_on)
            answer = await front.ask("web.test", path)
            assert (answer.status, answer.text) == (200, "token1.thumbprint"), (step, is_on)
            assert (await front.ask("web.test", f"{path}-unknown")).status == 404
        assert (await front.ask("web.test")).status == (503 if step == "before" else 301)
        await front.nginx.maintenance("web", False)
        has(front, "web.test")


async def test_other_sites_have_no_place_for_answers(embedded: Front, slots: Any) -> None:
    answer_to(embedded, "token1")
    await embedded.publish(slots)
    assert (await embedded.ask("web.test", "/.well-known/acme-challenge/token1")).json["name"] == "one"


async def test_a_host_port_is_neither_moved_nor_secured(embedded: Front, slots: Any) -> None:
    has(embedded, "web.test")
    port = free_port()
    await embedded.publish(slots, site=AUTO | {"hsts": True}, host_port=str(port))
    answer = await embedded.ask("web.test", port=port)
    assert (answer.status, "strict-transport-security" in answer.headers) == (200, False)
    assert (await embedded.ask("web.test")).status == 301


async def test_a_broken_certificate_is_as_good_as_none(embedded: Front, slots: Any) -> None:
    has(embedded, "web.test")
    await embedded.publish(slots, site=AUTO)
    (embedded.settings.certificates_dir / "archive/web/fullchain1.pem").write_text("broken")
    await embedded.publish(slots, site=AUTO)
    assert (await embedded.ask("web.test")).status == 200
    await embedded.publish(slots, name="other", domains=["other.test"])  # and hinders nobody
    assert (await embedded.ask("other.test")).status == 200


async def test_a_post_over_http_is_told_to_go_to_https(embedded: Front, slots: Any) -> None:
    """301 for every method: docs/decisions.md."""
    has(embedded, "web.test")
    await embedded.publish(slots, site=AUTO)
    with pytest.raises(aiohttp.ClientError):  # the control: nobody answers for a name that is not there
        await embedded.ask("unknown.test", method="POST", data=b"x")
    assert (await embedded.ask("web.test", method="POST", data=b"x")).status == 301
