"""The registry client against a registry that misbehaves, and its patience with it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from bot.engines import Credentials
from bot.errors import AccessDenied, ImageNotFound, RegistryError, RegistryUnavailable
from bot.registry import Registry, resolve_patiently
from bot.registry.manifests import digest_of
from bot.registry.transport import MAX_BODY
from lab.broken_registry import BrokenRegistry, Reply, broken_registry
from lab.certificates import identity
from lab.push import OCI

CONFIG = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI.of_manifest,
        "config": {"mediaType": OCI.of_config, "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [],
    }
).encode()
TYPE = {"Content-Type": OCI.of_manifest}
GOOD = Reply(200, MANIFEST, TYPE)
TAG = "/v2/acme/web/manifests/0001"
BLOB = f"/v2/acme/web/blobs/{digest_of(CONFIG)}"
PASSWORD = "correct-horse-battery-staple"


@pytest.fixture
def broken() -> Iterator[BrokenRegistry]:
    """Has a good image `acme/web:0001` until a test scripts something else."""
    with broken_registry() as registry:
        registry.script(TAG, GOOD)
        registry.script(BLOB, Reply(200, CONFIG))
        yield registry


@pytest.fixture
def elsewhere() -> Iterator[BrokenRegistry]:
    with broken_registry() as registry:
        yield registry


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def client(session: aiohttp.ClientSession, broken: BrokenRegistry, timeout_s: float = 10) -> Registry:
    return Registry(session, Credentials(broken.address, "acme-bot", PASSWORD), timeout_s=timeout_s)


async def resolve(session: aiohttp.ClientSession, broken: BrokenRegistry) -> str:
    return (await client(session, broken).resolve(f"{broken.address}/acme/web", "0001")).digest


async def test_the_fake_has_a_good_image(session: aiohttp.ClientSession, broken: BrokenRegistry) -> None:
    assert await resolve(session, broken) == digest_of(MANIFEST)


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (Reply(429), RegistryUnavailable, "limits the number of requests"),
        (Reply(500), RegistryUnavailable, "status 500"),
        (Reply(503, b"\xff not JSON"), RegistryUnavailable, "status 503"),
        (Reply(404), ImageNotFound, "acme/web:0001 is not in the registry"),
        (Reply(400, b'{"errors": [{"code": "NAME_UNKNOWN"}]}'), ImageNotFound, "acme/web:0001"),
        (Reply(403, b'{"errors": [{"code": "DENIED"}]}'), AccessDenied, "acme/web:0001"),
        (Reply(418, b'{"errors": [{"code": "TEAPOT"}]}'), RegistryError, "status 418, TEAPOT"),
        (Reply(418, b'{"errors": [{"code": "<script>"}]}'), RegistryError, r"status 418\)"),
        (Reply(200, MANIFEST, TYPE | {"Docker-Content-Digest": "sha256:0"}), RegistryError, "other bytes"),
        (Reply(200, MANIFEST, {"Content-Type": "text/html"}), RegistryError, "format that o8 does not know"),
        (Reply(200, MANIFEST, {"Content-Type": OCI.of_index}), RegistryError, "damaged"),
        (Reply(200, b"{", TYPE), RegistryError, "damaged"),
        (Reply(200, b"x" * 100_000, TYPE, is_endless=True), RegistryError, "more than 4 MiB"),
        (Reply(302, headers={"Location": TAG}), RegistryError, "cannot follow"),
        (Reply(302, headers={"Location": "file:///etc/passwd"}), RegistryError, "cannot follow"),
        (Reply(200, MANIFEST, {**TYPE, "Content-Encoding": "gzip"}), RegistryUnavailable, "broke off"),
    ],
)
async def test_each_fault_has_its_own_error(
    session: aiohttp.ClientSession,
    broken: BrokenRegistry,
    reply: Reply,
    error: type[RegistryError],
    text: str,
) -> None:
    broken.script("/v2/", Reply(200))
    broken.script(TAG, reply)
    with pytest.raises(RegistryError, match=text) as caught:
        await resolve(session, broken)
    assert type(caught.value) is error
    assert PASSWORD not in f"{caught.value!r}"


async def test_a_document_that_is_manifest_and_index_at_once_is_refused(
    session: aiohttp.ClientSession, broken: BrokenRegistry
) -> None:
    both = json.dumps({**json.loads(MANIFEST), "manifests": []}).encode()
    broken.script(TAG, Reply(200, both, TYPE))
    with pytest.raises(RegistryError, match=r"damaged manifest \(manifests\)"):
        await resolve(session, broken)


async def test_a_configuration_with_other_bytes_is_refused(
    session: aiohttp.ClientSession, broken: BrokenRegistry
) -> None:
    broken.script(BLOB, Reply(200, CONFIG + b" "))
    with pytest.raises(RegistryError, match="other bytes"):
        await resolve(session, broken)


async def test_a_manifest_of_four_mebibytes_is_still_read(
    session: aiohttp.ClientSession, broken: BrokenRegistry
) -> None:
    body = MANIFEST + b" " * (MAX_BODY - len(MANIFEST))
    broken.script(TAG, Reply(200, body, TYPE))
    assert await resolve(session, broken) == digest_of(body)
    broken.script(TAG, Reply(200, body + b" ", TYPE))
    with pytest.raises(RegistryError, match="more than 4 MiB"):
        await resolve(session, broken)


async def test_a_silent_registry_is_given_up(session: aiohttp.ClientSession, broken: BrokenRegistry) -> None:
    broken.script(TAG, Reply(is_silent=True))
    with pytest.raises(RegistryUnavailable, match=r"within 0\.2 s"):
        await client(session, broken, timeout_s=0.2).resolve(f"{broken.address}/acme/web", "0001")


# --- where credentials go


async def test_a_redirect_to_another_host_takes_no_credentials_along(
    session: aiohttp.ClientSession, broken: BrokenRegistry, elsewhere: BrokenRegistry
) -> None:
    broken.script(TAG, Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), GOOD)
    broken.script(BLOB, Reply(307, headers={"Location": f"http://{elsewhere.address}/storage"}))
    elsewhere.script("/storage", Reply(200, CONFIG))
    assert await resolve(session, broken) == digest_of(MANIFEST)
    assert any(seen.authorization for seen in broken.seen if seen.path == BLOB), "control"
    assert [seen.authorization for seen in elsewhere.seen] == [""]


async def test_another_host_cannot_ask_for_the_credentials(
    session: aiohttp.ClientSession, broken: BrokenRegistry, elsewhere: BrokenRegistry
) -> None:
    broken.script(BLOB, Reply(307, headers={"Location": f"http://{elsewhere.address}/storage"}))
    elsewhere.script("/storage", Reply(401, headers={"WWW-Authenticate": 'Basic realm="give"'}))
    with pytest.raises(RegistryUnavailable, match="status 401"):
        await resolve(session, broken)
    assert not any(seen.authorization for seen in broken.seen + elsewhere.seen)


@pytest.mark.parametrize("realm", ["http://r.example/token", "https://u:p@r.example/", "", "ftp://x", "//["])
async def test_credentials_are_not_sent_in_the_clear(
    session: aiohttp.ClientSession, broken: BrokenRegistry, realm: str
) -> None:
    broken.script(TAG, Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}))
    with pytest.raises(RegistryError, match="not https"):
        await resolve(session, broken)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, b'{"token": "a\\r\\nX-Evil: 1"}'), RegistryError),
        (Reply(200, b'{"token": ""}'), RegistryError),
        (Reply(200, b"secret-token"), RegistryError),
        (Reply(404), RegistryError),
        (Reply(429), RegistryUnavailable),
        (Reply(502), RegistryUnavailable),
    ],
)
async def test_a_broken_token_service_is_not_taken_for_a_missing_image(
    session: aiohttp.ClientSession, broken: BrokenRegistry, reply: Reply, error: type[RegistryError]
) -> None:
    broken.script(TAG, Reply(401, headers={"WWW-Authenticate": f'Bearer realm="http://{broken.address}/token"'}))
    broken.script("/token", reply)
    with pytest.raises(RegistryError) as caught:
        await resolve(session, broken)
    assert type(caught.value) is error
    assert "secret-token" not in f"{caught.value!r}"


async def test_a_token_that_the_registry_forgot_is_fetched_again(
    session: aiohttp.ClientSession, broken: BrokenRegistry
) -> None:
    asks = Reply(401, headers={"WWW-Authenticate": f'Bearer realm="http://{broken.address}/token"'})
    broken.script("/token", Reply(200, b'{"access_token": "one"}'), Reply(200, b'{"token": "two"}'))
    one, two = Reply(200, b'{"tags": ["1"]}'), Reply(200, b'{"tags": ["2"]}')
    broken.script("/v2/acme/web/tags/list", asks, one, asks, two)
    registry = client(session, broken)
    assert await registry.tags(f"{broken.address}/acme/web") == ["1"]
    assert await registry.tags(f"{broken.address}/acme/web") == ["2"]
    used = [seen.authorization for seen in broken.seen if seen.path.endswith("list")]
    assert used == ["", "Bearer one", "Bearer one", "Bearer two"]


async def test_all_pages_of_the_tags_are_read(session: aiohttp.ClientSession, broken: BrokenRegistry) -> None:
    path = "/v2/acme/web/tags/list"
    link = {"Link": f'<{path}?n=2&last=b%2Fc>; rel="next"'}
    broken.script(
        path,
        Reply(200, b'{"tags": ["b", "a"]}', link),
        Reply(200, b'{"tags": null}', link),
        Reply(200, b'{"name": "acme/web", "tags": ["c"]}'),
    )
    assert await client(session, broken).tags(f"{broken.address}/acme/web") == ["b", "a", "c"]


async def test_a_list_of_tags_does_not_lead_to_another_host_nor_in_a_circle(
    session: aiohttp.ClientSession, broken: BrokenRegistry, elsewhere: BrokenRegistry
) -> None:
    path = "/v2/acme/web/tags/list"
    broken.script(path, Reply(200, b"{}", {"Link": f'<http://{elsewhere.address}{path}>; rel="next"'}))
    with pytest.raises(RegistryError, match="another host"):
        await client(session, broken).tags(f"{broken.address}/acme/web")
    assert elsewhere.seen == []
    broken.script(path, Reply(200, b"{}", {"Link": f'<{path}>; rel="next"'}))
    with pytest.raises(RegistryError, match="more tags than"):
        await client(session, broken).tags(f"{broken.address}/acme/web")


# --- the real name over TLS


class EveryName(AbstractResolver):
    """Sends every name and port to one address."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        here = ResolveResult(
            hostname=host, host=self._host, port=int(self._port), family=socket.AF_INET, proto=0, flags=0
        )
        return [here]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("server", ["ghcr.io", "ghcr.io:443"])
async def test_ghcr_io_is_asked_over_tls_with_its_own_credentials(server: str) -> None:
    ghcr = identity("ghcr.io")
    with broken_registry(ghcr.server_tls()) as fake:
        challenge = 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/web:pull"'
        fake.script(TAG, Reply(401, headers={"WWW-Authenticate": challenge}), GOOD)
        fake.script("/token", Reply(200, b'{"token": "abc"}'))
        fake.script(BLOB, Reply(200, CONFIG))
        connector = aiohttp.TCPConnector(resolver=EveryName(fake.address), ssl=ghcr.client_tls())
        async with aiohttp.ClientSession(connector=connector) as session:
            registry = Registry(session, Credentials(server, "acme-bot", PASSWORD))
            assert await registry.resolve("ghcr.io/acme/web", "0001")
        shown = [seen.authorization.partition(" ")[0] for seen in fake.seen]
        assert shown == ["", "Basic", "Bearer", "Bearer"]


async def test_a_certificate_that_is_not_trusted_is_named() -> None:
    with broken_registry(identity("ghcr.io").server_tls()) as fake:
        connector = aiohttp.TCPConnector(resolver=EveryName(fake.address))
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(RegistryUnavailable, match=r"ghcr\.io has no certificate"):
                await Registry(session, Credentials("ghcr.io", "u", PASSWORD)).check_login()
        assert fake.seen == []


# --- patience


@pytest.mark.parametrize("reply", [Reply(404), Reply(429), Reply(500)], ids=lambda reply: str(reply.status))
async def test_a_transient_fault_is_waited_out(
    session: aiohttp.ClientSession, broken: BrokenRegistry, reply: Reply
) -> None:
    image = f"{broken.address}/acme/web"
    broken.script(TAG, reply, reply, GOOD)
    found = await resolve_patiently(client(session, broken), image, "0001", delays=(0, 0))
    assert found.digest == digest_of(MANIFEST)
    broken.script(TAG, reply, reply, reply, GOOD)
    with pytest.raises(RegistryError):
        await resolve_patiently(client(session, broken), image, "0001", delays=(0, 0))


async def test_no_connection_is_waited_out(session: aiohttp.ClientSession) -> None:
    with broken_registry() as gone:
        pass
    delays = (0.0, 0.0, 0.0)
    with pytest.raises(RegistryUnavailable, match="gave no answer"):
        await resolve_patiently(client(session, gone), f"{gone.address}/acme/web", "0001", delays=delays)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_is_not_tried_again(
    session: aiohttp.ClientSession, broken: BrokenRegistry, status: int
) -> None:
    broken.script(TAG, Reply(status), GOOD)
    anonymous = Registry(session, Credentials(broken.address, "", ""))
    with pytest.raises(AccessDenied):
        await resolve_patiently(anonymous, f"{broken.address}/acme/web", "0001", delays=(0, 0))
    assert len(broken.seen) == 1


async def test_the_registrys_own_wish_is_heeded_up_to_the_longest_delay(
    session: aiohttp.ClientSession, broken: BrokenRegistry
) -> None:
    broken.script(TAG, Reply(429, headers={"Retry-After": "3600"}), GOOD)
    begun = time.monotonic()
    async with asyncio.timeout(5):
        image = f"{broken.address}/acme/web"
        await resolve_patiently(client(session, broken), image, "0001", delays=(0, 0.3))
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 1800, 3601),  # it may be read much later
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
        *((header, 0, 0) for header in ("", "-5", "nan", "inf", "1e999", "soon")),
    ],
    ids=["seconds", "in an hour", "an hour ago", "empty", "negative", "nan", "inf", "huge", "word"],
)
async def test_retry_after_is_seconds_or_a_date(
    session: aiohttp.ClientSession, broken: BrokenRegistry, header: str, least: float, most: float
) -> None:
    broken.script(TAG, Reply(503, headers={"Retry-After": header}))
    with pytest.raises(RegistryUnavailable) as caught:
        await resolve(session, broken)
    assert least <= caught.value.retry_after <= most
