"""Where webhooks for this o8 can be: the App's own, those of organizations, those of repositories."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from bot.errors import GitHubRefused
from bot.github import Access, GitHub
from bot.github.hooks import APP, Hooks
from bot.github.packages import Kind, Packages
from bot.settings import Settings
from bot.store import Store
from bot.webhooks import PATH

_REPOSITORY = re.compile(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}")


class Place(NamedTuple):
    """`name` is `orgs/acme`, `repos/acme/web` or `app`; `hooks` asks there as who has the right."""

    name: str
    hooks: Hooks


class Places:
    """`url` is where GitHub is to deliver to, empty without PUBLIC_URL. `app`, `person`: None where none is set."""

    def __init__(self, settings: Settings, store: Store, github: GitHub, access: Access) -> None:
        self.url = settings.public_url + PATH if settings.public_url else ""
        self.app = Hooks(github, access.app) if access.app else None
        self.person = Hooks(github, access.person) if access.has_token else None
        self._store = store
        self._github = github
        self._access = access
        self._owners = settings.owners
        self._registry = settings.docker_server_address
        self._packages = Packages(github, access.person, self._registry)
        self._kinds: dict[str, Kind] = {}

    async def owners(self) -> tuple[str, ...]:
        """GITHUB_OWNERS, or those whose images services use."""
        return self._owners or tuple(sorted({image.split("/")[1] for image in await self._images()}))

    async def kind_of(self, owner: str) -> Kind:
        """Raises `GitHubRefused` 404 when there is nobody of that name."""
        key = owner.lower()
        if key not in self._kinds:
            listed = next(iter((await self._store.listed(owner)).values()), None)
            known: Kind | None = None if listed is None else "orgs" if listed.kind == "orgs" else "users"
            self._kinds[key] = known or await self._packages.kind_of(owner)
        return self._kinds[key]

    async def has_app(self, owner: str) -> bool:
        """Whether the App is installed at `owner` now: what was so before counts for nothing."""
        login = self._access.app or self._access.person
        for kind in ("orgs", "users"):
            try:
                await self._github.get(f"/{kind}/{quote(owner, safe='')}/installation", login)
                return True
            except GitHubRefused as refusal:
                if refusal.status != 404:
                    raise
        return False

    async def used(self, owner: str) -> tuple[str, ...]:
        """Images of `owner` that services use."""
        return tuple(image for image in await self._images() if image.split("/")[1] == owner.lower())

    async def linked(self, owner: str) -> dict[str, str]:
        """The repository of each package of `owner`, as GitHub listed it last; empty where there is none."""
        found = await self._store.listed(owner)
        return {
            image: each.repository if _REPOSITORY.fullmatch(each.repository) else "" for image, each in found.items()
        }

    async def all(self) -> list[Place]:
        """Repositories whose images are used come before others."""
        places = [Place(APP, self.app)] if self.app else []
        if self.person and self.url:
            for owner in await self.owners():
                places += [Place(name, self.person) for name in await self._names(owner)]
        return places

    async def _names(self, owner: str) -> list[str]:
        used = set(await self.used(owner))
        linked = sorted((image not in used, repository) for image, repository in (await self.linked(owner)).items())
        names = [f"repos/{repository}" for _, repository in linked if repository]
        try:
            if await self.kind_of(owner) == "orgs":
                names = [f"orgs/{owner}", *names]
        except GitHubRefused as refusal:
            if refusal.status != 404:
                raise
        return list(dict.fromkeys(names))

    async def _images(self) -> list[str]:
        images = {service.configuration.image for service in await self._store.services()}
        return sorted(image for image in images if image.startswith(f"{self._registry}/") and image.count("/") > 1)
