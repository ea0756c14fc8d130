"""Asks a container registry: which digest a tag has, which tags there are, when an image was made.

    transport.py   one bounded GET, and what can go wrong with it
    auth.py        challenges, tokens, which host sees the credentials
    refusals.py    why a registry said no
    manifests.py   pure: platforms, sizes, what the documents say

Specification: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError
from yarl import URL

from bot.configuration import ImageName, Tag
from bot.engines import Credentials
from bot.errors import ImageNotFound, InvalidInput, RegistryError, RegistryUnavailable
from bot.registry.auth import Caller, Refused
from bot.registry.manifests import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Config,
    Digest,
    Index,
    Manifest,
    Platform,
    choose,
    digest_of,
    read_config,
    read_manifest,
    wrong_platform,
)
from bot.registry.refusals import explain_refusal, wrong_credentials
from bot.registry.transport import Answer, Transport, base_url, check, host_of

__all__ = ["DELAYS_S", "Registry", "Resolved", "resolve_patiently"]

DELAYS_S = (1.0, 3.0, 8.0, 20.0, 58.0)
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_PAGE_SIZE = 1000  # tags; a registry may send fewer
_MAX_PAGES = 200
_REMEMBERED = 2048  # digests
_NOT_FOUND = {"NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"}
_IMAGE: TypeAdapter[str] = TypeAdapter(ImageName)
_REFERENCE: TypeAdapter[str] = TypeAdapter(Digest | Tag)
Value = TypeVar("Value")


class Resolved(NamedTuple):
    """What a tag stands for. Deploy and compare by `digest`; `platform_digest` is this machine's part of it.

    `size` is in bytes of compressed layers for this platform.
    """

    digest: str
    media_type: str
    platform_digest: str
    size: int


class Registry:
    """Reads registries. `credentials` are shown to `credentials.server` alone; all other hosts see nobody.

    `platform` is this machine's, as `EngineFacts.platform`. Each request has `timeout_s` seconds.
    Every verb is one try and raises `RegistryError`s, or `InvalidInput` for names outside the grammar.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        platform: str = "linux/amd64",
        *,
        timeout_s: float = 10,
    ) -> None:
        self._credentials = credentials
        self._machine = Platform.parse(platform)
        self._transport = Transport(session, timeout_s)
        self._caller = Caller(self._transport, credentials)
        self._resolved: _Memory[Resolved] = _Memory()
        self._about: _Memory[Config] = _Memory()

    async def resolve(self, image: str, reference: str) -> Resolved:
        """What `reference` (a tag, or `sha256:...`) of `image` (`host[:port]/path`) is right now."""
        found = await self._look_up(image, reference)
        if known := self._resolved.get(found.digest):
            return known
        manifest, digest = await self._for_this_machine(image, found)
        if digest == found.digest:  # no index that names platforms
            config = await self._config(image, manifest, found.name)
            if config.built_for not in self._machine.runnable():
                raise wrong_platform([config.built_for], self._machine, found.name)
        resolved = Resolved(found.digest, found.media_type, digest, manifest.size)
        return self._resolved.keep(found.digest, resolved)

    async def tags(self, image: str) -> list[str]:
        """All tags, in the registry's order."""
        page = _url(image, "tags/list").with_query(n=_PAGE_SIZE)
        found: list[str] = []
        for _ in range(_MAX_PAGES):
            answer = await self._get(image, image, page)
            try:
                found += _TagPage.model_validate_json(answer.body).tags or ()
            except ValidationError:
                raise RegistryError(f"The list of tags of {image} is damaged.", "Try again later.") from None
            if answer.next_page is None:
                return found
            if answer.next_page.origin() != page.origin():
                raise RegistryError(f"The list of tags of {image} goes on at another host.", "Ask its owner.")
            page = answer.next_page
        raise RegistryError(f"{image} has more tags than o8 reads.", "Delete old versions of the package.")

    async def created(self, image: str, digest: str) -> datetime | None:
        """When the image was made, by its own account; None when it does not say."""
        return (await self.about(image, digest)).created

    async def about(self, image: str, digest: str) -> Config:
        """What the image says about itself: labels, ports, health check."""
        if digest in self._about:
            return self._about[digest]
        found = await self._look_up(image, digest)
        manifest, _ = await self._for_this_machine(image, found)
        config = await self._config(image, manifest, found.name)
        return config if config.is_large else self._about.keep(found.digest, config)

    async def check_login(self) -> None:
        """Whether the credentials would do; a registry that asks for none cannot tell.

        Raises `WrongCredentials`, or `RegistryUnavailable` when there is no answer.
        """
        server = base_url(self._credentials.server)
        try:
            check(await self._caller.anew().get(server / "v2/"))
        except Refused:
            if self._caller.has_credentials_for(host_of(server)):
                raise wrong_credentials(host_of(server)) from None

    async def _look_up(self, image: str, reference: str) -> _Found:
        try:
            reference = _REFERENCE.validate_python(reference)
        except ValidationError:
            raise InvalidInput(
                f"{reference!r:.160} is neither a tag nor a digest.", "It looks like 0004 or sha256:..."
            ) from None
        is_digest = ":" in reference
        name = f"{image}{'@' if is_digest else ':'}{reference}"
        answer = await self._get(image, name, _url(image, f"manifests/{reference}"), _ACCEPT)
        digest = digest_of(answer.body)
        if answer.digest not in ("", digest) or (is_digest and reference != digest):
            raise _altered(name)
        document = read_manifest(answer.body, answer.content_type, name)
        return _Found(name, document, digest, answer.content_type)

    async def _for_this_machine(self, image: str, found: _Found) -> tuple[Manifest, str]:
        """The manifest to run here, and its digest."""
        if isinstance(found.document, Manifest):
            return found.document, found.digest
        entry = choose(found.document, self._machine, found.name)
        part = await self._look_up(image, entry.digest)
        if isinstance(part.document, Index):
            raise RegistryError(f"{found.name} is an index of indexes.", "Push it as one image or one index.")
        return part.document, part.digest

    async def _config(self, image: str, manifest: Manifest, name: str) -> Config:
        digest = manifest.config.digest
        body = (await self._get(image, name, _url(image, f"blobs/{digest}"))).body
        if digest_of(body) != digest:
            raise _altered(name)
        return read_config(body, name)

    async def _get(self, image: str, name: str, url: URL, accept: str = "*/*") -> Answer:
        """A 200, or the error that says why not; `name` is what people call the wanted thing."""
        repository = image.partition("/")[2]
        try:
            answer = await self._caller.get(url, repository, accept)
        except Refused:
            raise await explain_refusal(self._caller, url, repository, accept, name) from None
        is_missing = answer.status == 404 and not answer.is_redirected_away
        if is_missing or answer.error_code in _NOT_FOUND:
            raise ImageNotFound(f"{name} is not in the registry.", "Check the image name and the tag.")
        check(answer)
        return answer


async def resolve_patiently(
    registry: Registry, image: str, reference: str, *, delays: Sequence[float] = DELAYS_S
) -> Resolved:
    """`Registry.resolve`, tried again after each of `delays` (seconds) while the error is transient.

    A registry that names its own `retry_after` is left alone that long, at most the longest delay.
    Raises what the last try raised.
    """
    for delay in delays:
        try:
            return await registry.resolve(image, reference)
        except RegistryError as error:
            if not error.is_transient:
                raise
            wish = error.retry_after if isinstance(error, RegistryUnavailable) else 0
        await asyncio.sleep(max(delay, min(wish, max(delays))))
    return await registry.resolve(image, reference)


class _Found(NamedTuple):
    """A manifest or index as the registry has it; `name` is what people call it."""

    name: str
    document: Manifest | Index
    digest: str
    media_type: str


class _TagPage(BaseModel):
    tags: list[str] | None = None  # null in an empty repository


class _Memory(dict[str, Value], Generic[Value]):
    """Facts about digests, which never change; forgets the oldest beyond `_REMEMBERED`."""

    def keep(self, digest: str, value: Value) -> Value:
        if len(self) >= _REMEMBERED:
            del self[next(iter(self))]
        self[digest] = value
        return value


def _url(image: str, path: str) -> URL:
    """Where the registry keeps `path` of the image. Raises `InvalidInput`."""
    try:
        host, _, repository = _IMAGE.validate_python(image).partition("/")
    except ValidationError:
        raise InvalidInput(f"{image!r:.300} is no image name.", "It looks like ghcr.io/acme/web.") from None
    return base_url(host) / "v2" / repository / path


def _altered(name: str) -> RegistryError:
    return RegistryError(f"{name} arrived with other bytes than its digest says.", "Look for a broken proxy.")
