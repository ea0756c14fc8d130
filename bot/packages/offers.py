"""What could be installed: finds the image that people mean, asks the registry what it says about itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from bot.errors import Conflict, InvalidInput, NotFound, RegistryError
from bot.packages.proposal import House, Offer, Said, Subject, Values, chosen, offer
from bot.registry import Registry, resolve_patiently
from bot.store import Store

_REFERENCE = re.compile(
    r"(?P<image>[^@\s]{1,255}?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"([a-z0-9][a-z0-9.-]*(:[0-9]{{1,5}})?/)?{_PART}(/{_PART})*")
_MOST_NAMED = 5


class Offers:
    def __init__(self, store: Store, registry: Registry, server: str, base_domain: str, own_url: str = "") -> None:
        """`server`: the registry that is meant where none is named. `own_url`: where o8 itself is reached."""
        self._store = store
        self._registry = registry
        self._server = server
        self._base_domain = base_domain
        self._own_host = re.sub(r"^https?://|:[0-9]+$", "", own_url)

    async def of(
        self, reference: str, changes: Values | None = None, *, pushed: str = "", delays: Sequence[float] = ()
    ) -> Offer:
        """What a service of `reference` would be: `ghcr.io/acme/blog:0001`, `acme/blog`, or `blog` where that is clear.

        `changes` are keys of a service file that somebody wants otherwise; `pushed` is a tag that is known to be there.
        While the registry is not ready it is asked again after each of `delays` (seconds).
        Raises `InvalidInput`, `NotFound`, `Conflict` for a name that is taken, and the `RegistryError`s.
        """
        image, tag, digest = await self.image_of(reference)
        if not (tag or digest):
            tag = await self._newest(image, pushed)
        resolved = await resolve_patiently(self._registry, image, digest or tag, delays=delays)
        said = await self._registry.about(image, resolved.digest)
        return await self._made(Subject(image, tag, resolved.digest), said, changes)

    async def soon(self, reference: str, patience_s: float) -> Offer:
        """As `of`, but within `patience_s` seconds: what is at hand then, and a note that it is a guess.

        Raises `InvalidInput`, `NotFound`.
        """
        try:
            async with asyncio.timeout(patience_s):
                return await self.of(reference)
        except TimeoutError:
            why = "The registry has not answered yet"
        except RegistryError as trouble:
            why = trouble.message.rstrip(".")
        image, tag, digest = await self.image_of(reference)
        guess = await self._made(Subject(image, tag or await self._pushed(image), digest), None, None)
        return guess.model_copy(update={"notes": (f"{why}: what stands here is a guess.", *guess.notes)})

    async def image_of(self, reference: str) -> tuple[str, str, str]:
        """Whole image, tag and digest of what people write; tag and digest may be empty.

        Raises `InvalidInput` for what is no image; `NotFound`, `Conflict` for a short name that none has, or several.
        """
        found = _REFERENCE.fullmatch(reference.strip())
        if not found or not _NAME.fullmatch(found["image"].lower()):  # GitHub shows owners as they are written
            raise InvalidInput(f"{reference!r:.140} is no image.", "Such as `ghcr.io/acme/web:0005`, in lower case.")
        image = found["image"].lower()
        first = image.partition("/")[0]
        if "/" not in image or not (set(first) & set(".:") or first == "localhost"):
            image = await self._named(image)
        return image, found["tag"] or "", found["digest"] or ""

    async def _named(self, name: str) -> str:
        """The one image that is called so without its registry, or without its owner too."""
        whole = f"{self._server}/{name}"
        known = await self._store.known_images()
        fitting = [image for image in known if image.endswith(f"/{name}")]
        if whole in fitting or (not fitting and "/" in name):
            return whole
        if len(fitting) > 1:
            several = ", ".join(fitting[:_MOST_NAMED])
            raise Conflict(f"{name!r:.140} may be {several}.", "Name it with its owner.")
        if not fitting:
            raise NotFound(f"o8 knows no image {name!r:.140}.", f"Name it with its owner, such as `acme/{name:.60}`.")
        return fitting[0]

    async def _pushed(self, image: str) -> str:
        """The newest tag that is known from a push or from the catalogue."""
        try:
            package = await self._store.package(image)
            return package.tag
        except NotFound:
            return ""

    async def _newest(self, image: str, pushed: str) -> str:
        heard = await self._pushed(image)
        try:
            known = await self._registry.tags(image)
        except RegistryError as trouble:
            if not (pushed and trouble.is_transient):
                raise
            known = []  # the list of a package that is new may come later than its first tag
        images = [one for one in known if not one.startswith("sha256-")]  # the others are signatures
        if tag := chosen(images, pushed or (heard if heard in images or not images else "")):
            return tag
        some = f"It has {', '.join(known[-_MOST_NAMED:])}." if known else "It has none yet."
        raise InvalidInput(f"Which tag of {image}? {some}", f"Name one, such as `{image}:0001`.")

    async def _made(self, subject: Subject, said: Said | None, changes: Values | None) -> Offer:
        services = await self._store.services()
        hosts = {self._own_host: "o8 itself"} if self._own_host else {}
        for service in services:
            implied = [f"{service.name}.{self._base_domain}"] if self._base_domain else []
            hosts |= dict.fromkeys(service.configuration.domains or implied, service.name)
        user = next((one.name for one in services if one.configuration.image == subject.image), "")
        if user and changes is not None and "name" not in changes:  # as the same command does that is given again
            raise Conflict(f"{user} uses {subject.image} already.", "Name the second service of it, if one is meant.")
        names = frozenset(service.name for service in services)
        found = offer(subject, said, House(names, hosts, self._base_domain), changes)
        if found.configuration.name in names:
            raise Conflict(f"There is a service {found.configuration.name} already.", "Choose another name.")
        for host in found.hosts:
            if host in hosts:  # by a name or domain that somebody chose; what the image asks for is never there
                raise Conflict(f"{host} belongs to {hosts[host]}.", "Choose another name or domain.")
        return found
