"""The registry client against real registries: open, with passwords, with tokens as GHCR's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import aiohttp
import pytest

from bot.engines import Credentials
from bot.errors import (
    AccessDenied,
    ImageNotFound,
    InvalidInput,
    O8Error,
    RegistryError,
    RegistryUnavailable,
    WrongCredentials,
    WrongPlatform,
)
from bot.registry import Registry
from lab import push as lab
from lab.push import push
from lab.registry import PASSWORD, USER, LabRegistry, open_registry, password_registry, token_registry
from lab.token_service import TokenService

pytestmark = pytest.mark.parts
NOBODY = Credentials("ghcr.io", "", "")
WRONG = "not-the-password-3141592653"


@pytest.fixture(scope="module")
def free() -> Iterator[LabRegistry]:
    with open_registry() as registry:
        yield registry


@pytest.fixture(scope="module")
def locked() -> Iterator[LabRegistry]:
    with password_registry() as registry:
        push(registry, "acme/web", "0001")
        yield registry


@pytest.fixture
def ghcr() -> Iterator[LabRegistry]:
    """Has `acme/web` (private), `acme/public` and `other/web`, which our user may not read."""
    with token_registry() as registry:
        for name in ("acme/web", "acme/public", "other/web"):
            push(registry, name, "0001", platforms=("linux/amd64", "linux/arm64"))
        tokens_of(registry).readers = {"acme/web": {USER}, "other/web": {"somebody"}}
        yield registry


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def tokens_of(registry: LabRegistry) -> TokenService:
    assert registry.tokens is not None
    return registry.tokens


def wrong(registry: LabRegistry) -> Credentials:
    return registry.credentials._replace(password=WRONG)


def assert_keeps_secrets(error: O8Error) -> None:
    assert not re.search(rf"{WRONG}|{PASSWORD}|eyJ|Bearer|Basic", f"{error!r} {error}")


# --- what a tag stands for


@pytest.mark.parametrize("types", [lab.OCI, lab.DOCKER], ids=["oci", "docker"])
async def test_a_plain_image_resolves_to_its_manifest(
    session: aiohttp.ClientSession, free: LabRegistry, types: lab.Types
) -> None:
    digest = push(free, "acme/plain", "0001", types=types)
    found = await Registry(session, NOBODY).resolve(free.image("acme/plain"), "0001")
    assert found.digest == found.platform_digest == digest
    assert found.media_type == types.of_manifest


@pytest.mark.parametrize("types", [lab.OCI, lab.DOCKER], ids=["oci", "docker"])
async def test_an_index_keeps_its_own_digest_and_names_the_part_for_this_machine(
    session: aiohttp.ClientSession, free: LabRegistry, types: lab.Types
) -> None:
    platforms = ("linux/arm64", "linux/amd64")
    digest = push(free, "acme/multi", "0001", platforms=platforms, attested=True, types=types)
    amd64 = await Registry(session, NOBODY).resolve(free.image("acme/multi"), "0001")
    arm64 = await Registry(session, NOBODY, "linux/arm64/v8").resolve(free.image("acme/multi"), "0001")
    assert amd64.digest == arm64.digest == digest
    assert amd64.media_type == types.of_index
    assert len({amd64.digest, amd64.platform_digest, arm64.platform_digest}) == 3


async def test_the_size_is_that_of_the_compressed_layers(session: aiohttp.ClientSession, free: LabRegistry) -> None:
    config = {"os": "linux", "architecture": "amd64"}
    body = lab.manifest(free, "acme/sized", config, [b"x" * 1000, b"y" * 234])
    lab.put_manifest(free, "acme/sized", "0001", lab.OCI.of_manifest, body)
    assert (await Registry(session, NOBODY).resolve(free.image("acme/sized"), "0001")).size == 1234


async def test_a_digest_resolves_to_itself_and_a_moved_tag_to_the_new_one(
    session: aiohttp.ClientSession, free: LabRegistry
) -> None:
    registry, image = Registry(session, NOBODY), free.image("acme/moving")
    old = push(free, "acme/moving", "main")
    assert (await registry.resolve(image, "main")).digest == old
    new = push(free, "acme/moving", "main", files={"hello": b"again"})
    assert (await registry.resolve(image, "main")).digest == new != old
    assert (await registry.resolve(image, old)).digest == old


@pytest.mark.parametrize(
    ("platforms", "as_index"),
    [(("linux/arm64", "windows/amd64"), False), (("linux/arm64",), False), (("linux/arm64",), True)],
    ids=["two", "plain", "index of one"],
)
async def test_an_image_for_other_machines_is_refused_and_says_for_which(
    session: aiohttp.ClientSession, free: LabRegistry, platforms: tuple[str, ...], as_index: bool
) -> None:
    push(free, "acme/foreign", "0001", platforms=platforms, as_index=as_index, attested=as_index)
    with pytest.raises(WrongPlatform) as caught:
        await Registry(session, NOBODY).resolve(free.image("acme/foreign"), "0001")
    assert f"built for {', '.join(platforms)}, but this machine is linux/amd64" in caught.value.message
    assert "unknown" not in caught.value.message
    assert not caught.value.is_transient


async def test_a_chart_is_not_an_image(session: aiohttp.ClientSession, free: LabRegistry) -> None:
    chart = lab.OCI._replace(of_config="application/vnd.cncf.helm.config.v1+json")
    push(free, "acme/chart", "0001", types=chart)
    with pytest.raises(RegistryError, match=r"no container image .*helm"):
        await Registry(session, NOBODY).resolve(free.image("acme/chart"), "0001")


async def test_a_tag_or_image_that_is_not_there_may_still_come(
    session: aiohttp.ClientSession, free: LabRegistry
) -> None:
    push(free, "acme/late", "0001")
    registry = Registry(session, NOBODY)
    for image, tag in (("acme/late", "0002"), ("acme/nothing", "0001"), ("acme/late", "sha256:" + "0" * 64)):
        with pytest.raises(ImageNotFound, match=tag) as caught:
            await registry.resolve(free.image(image), tag)
        assert caught.value.is_transient
    with pytest.raises(ImageNotFound):
        await registry.tags(free.image("acme/nothing"))
    push(free, "acme/late", "0002")
    assert await registry.resolve(free.image("acme/late"), "0002")


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        *((image, "1") for image in ("127.0.0.1:1/a/../b", "127.0.0.1:1/A", "127.0.0.1:99999/a", "web")),
        *(("127.0.0.1:1/a", tag) for tag in ("", "../../x", "a b", "sha256:00", "sha512:" + "0" * 128)),
    ],
)
async def test_names_outside_the_grammar_reach_no_registry(
    session: aiohttp.ClientSession, image: str, reference: str
) -> None:
    with pytest.raises(InvalidInput):
        await Registry(session, NOBODY).resolve(image, reference)


# --- tags and times


async def test_all_tags_come(session: aiohttp.ClientSession, free: LabRegistry) -> None:
    body = lab.manifest(free, "acme/tags", {"os": "linux", "architecture": "amd64"}, [b"x"])
    wanted = [f"{number:04d}" for number in range(23)]
    for tag in wanted:
        lab.put_manifest(free, "acme/tags", tag, lab.OCI.of_manifest, body)
    found = await Registry(session, NOBODY).tags(free.image("acme/tags"))
    assert sorted(found) == wanted  # this registry keeps no order


async def test_the_image_says_when_it_was_made(session: aiohttp.ClientSession, free: LabRegistry) -> None:
    registry, image = Registry(session, NOBODY), free.image("acme/dated")
    digest = push(free, "acme/dated", "1", created="2026-03-01T12:00:00.123456789+02:00", as_index=True)
    assert await registry.created(image, digest) == datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    for number, nothing in enumerate(("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday")):
        digest = push(free, "acme/dated", f"none-{number}", created=nothing)
        assert await registry.created(image, digest) is None


# --- who may


async def test_a_password_opens_a_registry_with_basic_logins(
    session: aiohttp.ClientSession, locked: LabRegistry
) -> None:
    registry = Registry(session, locked.credentials)
    await registry.check_login()
    assert await registry.resolve(locked.image("acme/web"), "0001")


async def test_a_wrong_password_is_named_and_not_shown(session: aiohttp.ClientSession, locked: LabRegistry) -> None:
    registry = Registry(session, wrong(locked))
    with pytest.raises(WrongCredentials, match="cannot be read without any either") as caught:
        await registry.resolve(locked.image("acme/web"), "0001")
    assert_keeps_secrets(caught.value)
    with pytest.raises(WrongCredentials) as caught:
        await registry.check_login()
    assert_keeps_secrets(caught.value)


async def test_nobody_is_told_that_credentials_are_missing(
    session: aiohttp.ClientSession, locked: LabRegistry, ghcr: LabRegistry
) -> None:
    for closed in (locked, ghcr):
        with pytest.raises(AccessDenied, match=r"has no credentials for 127\.0\.0\.1") as caught:
            await Registry(session, NOBODY).resolve(closed.image("acme/web"), "0001")
        assert not caught.value.is_transient


async def test_credentials_are_shown_to_their_own_host_only(
    session: aiohttp.ClientSession, locked: LabRegistry
) -> None:
    registry = Registry(session, Credentials("ghcr.io", USER, PASSWORD))
    with pytest.raises(AccessDenied, match=r"has no credentials for 127\.0\.0\.1"):
        await registry.resolve(locked.image("acme/web"), "0001")


async def test_a_pat_reads_private_images_by_token(session: aiohttp.ClientSession, ghcr: LabRegistry) -> None:
    registry = Registry(session, ghcr.credentials)
    await registry.check_login()
    found = await registry.resolve(ghcr.image("acme/web"), "0001")
    assert await registry.tags(ghcr.image("acme/web")) == ["0001"]
    assert await registry.created(ghcr.image("acme/web"), found.digest)
    assert tokens_of(ghcr).asked == ["", "repository:acme/web:pull"], "one token for each scope, used again"


async def test_a_token_about_to_end_is_not_reused(session: aiohttp.ClientSession, ghcr: LabRegistry) -> None:
    tokens_of(ghcr).expires_in = 5
    registry = Registry(session, ghcr.credentials)
    for _ in range(2):
        await registry.tags(ghcr.image("acme/web"))
    assert tokens_of(ghcr).asked == ["repository:acme/web:pull"] * 2


async def test_public_images_need_no_credentials(session: aiohttp.ClientSession, ghcr: LabRegistry) -> None:
    assert await Registry(session, NOBODY).resolve(ghcr.image("acme/public"), "0001")


async def test_a_wrong_pat_fails_even_on_public_images_and_says_so(
    session: aiohttp.ClientSession, ghcr: LabRegistry
) -> None:
    registry = Registry(session, wrong(ghcr))
    with pytest.raises(WrongCredentials, match="acme/public:0001 can be read without any") as caught:
        await registry.resolve(ghcr.image("acme/public"), "0001")
    assert_keeps_secrets(caught.value)
    with pytest.raises(WrongCredentials, match="cannot be read without any"):
        await registry.resolve(ghcr.image("acme/web"), "0001")
    with pytest.raises(WrongCredentials):
        await registry.check_login()


@pytest.mark.parametrize("gives_empty_tokens", [False, True], ids=["DENIED", "insufficient_scope"])
async def test_a_right_that_is_missing_is_told_from_a_wrong_password(
    session: aiohttp.ClientSession, ghcr: LabRegistry, gives_empty_tokens: bool
) -> None:
    tokens_of(ghcr).gives_empty_tokens = gives_empty_tokens
    with pytest.raises(AccessDenied, match="accepts the credentials") as caught:
        await Registry(session, ghcr.credentials).resolve(ghcr.image("other/web"), "0001")
    assert "read:packages" in caught.value.next_step
    assert_keeps_secrets(caught.value)


async def test_a_revoked_pat_is_noticed_though_old_tokens_still_work(
    session: aiohttp.ClientSession, ghcr: LabRegistry
) -> None:
    registry = Registry(session, ghcr.credentials)
    await registry.check_login()
    assert await registry.resolve(ghcr.image("acme/web"), "0001")
    with pytest.raises(AccessDenied):
        await registry.resolve(ghcr.image("other/web"), "0001")
    tokens_of(ghcr).passwords.clear()
    assert await registry.resolve(ghcr.image("acme/web"), "0001"), "control: the old token works"
    with pytest.raises(WrongCredentials):
        await registry.check_login()
    with pytest.raises(WrongCredentials):
        await registry.resolve(ghcr.image("other/web"), "0001")


async def test_an_open_registry_takes_any_login(session: aiohttp.ClientSession, free: LabRegistry) -> None:
    await Registry(session, wrong(free)).check_login()


async def test_a_registry_that_is_gone_is_unavailable(session: aiohttp.ClientSession) -> None:
    with open_registry() as registry:
        digest = push(registry, "acme/web", "0001")
        client = Registry(session, registry.credentials)
        assert (await client.resolve(registry.image("acme/web"), "0001")).digest == digest
    for ask in (client.check_login(), client.resolve(registry.image("acme/web"), "0001")):
        with pytest.raises(RegistryUnavailable, match="gave no answer") as caught:
            await ask
        assert caught.value.is_transient


# --- what an image says about itself


@pytest.mark.parametrize("as_index", [False, True])
async def test_labels_ports_and_health_check_are_of_the_part_for_this_machine(
    free: LabRegistry, session: aiohttp.ClientSession, as_index: bool
) -> None:
    says = {
        "Labels": {"o8.port": "9000"}, "ExposedPorts": {"9443/tcp": {}, "9000/tcp": {}, "53/udp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1},
    }  # fmt: skip
    platforms = ("linux/amd64", "linux/arm64") if as_index else ("linux/amd64",)
    name = f"acme/says-{as_index}".lower()
    digest = push(free, name, "0001", platforms=platforms, config=says, as_index=as_index, attested=as_index)
    registry = Registry(session, NOBODY)
    for _ in range(2):  # the second time from memory
        found = await registry.about(free.image(name), digest)
        assert (found.labels, found.ports, found.has_healthcheck) == ({"o8.port": "9000"}, (9000, 9443), True)
    assert found.created == datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
    if as_index:
        with pytest.raises(WrongPlatform):
            await Registry(session, NOBODY, "linux/riscv64").about(free.image(name), digest)


async def test_an_image_that_says_nothing_has_nothing(free: LabRegistry, session: aiohttp.ClientSession) -> None:
    digest = push(free, "acme/silent", "0001")
    found = await Registry(session, NOBODY).about(free.image("acme/silent"), digest)
    assert (dict(found.labels), found.ports, found.has_healthcheck) == ({}, (), False)
