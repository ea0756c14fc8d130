"""What can be done to a service besides deploying it: configure, stop, remove, environment."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import NamedTuple

from bot import addresses, environment, tags
from bot.configuration import Configuration
from bot.engines import Engine
from bot.errors import Conflict, InvalidInput, NotFound
from bot.models import SLOTS, Deployment, Kind, Service, Wanted
from bot.nginx import Nginx
from bot.store import Store
from bot.store.deployments import refuse_while_locked
from bot.store.services import Expected
from bot.vault import Vault
from bot.worker import Worker, environment_row


class Applied(NamedTuple):
    """What `apply` did. `deployment` is None when nothing that runs had to change."""

    service: Service
    is_new: bool
    deployment: Deployment | None


class Operations:
    def __init__(
        self, store: Store, engine: Engine, nginx: Nginx, worker: Worker, vault: Vault, subnet: IPv4Network,
        base_domain: str = "",
    ) -> None:  # fmt: skip
        self._store = store
        self._engine = engine
        self._nginx = nginx
        self._worker = worker
        self._vault = vault
        self._subnet = subnet
        self._base_domain = base_domain

    async def apply(
        self, configuration: Configuration, actor: str, *, is_deployed: bool = True,
        expected: Expected = None,
    ) -> Applied:  # fmt: skip
        """Stores a service file; a service that runs is deployed with it when containers or site change, unless
        `is_deployed` is False.

        Raises `ChangedMeanwhile` when the configuration is not what was `expected`; `Conflict` when a domain or port
        belongs to another service, or the service is locked.
        """
        tags.check(configuration.follow)
        known = {service.name: service for service in await self._store.services()}
        before = known.get(configuration.name)
        # Rendered before anything is stored, so that a value nginx cannot carry is refused while nothing has changed.
        block = before.block if before else 1
        self._nginx.render(
            configuration,
            {s: self._engine.addresses(block, s, configuration.replicas, configuration.port) for s in SLOTS},
        )
        does_run = before is not None and before.live is not None and not before.is_stopped
        changes = before and does_run and before.configuration.fingerprint != configuration.fingerprint
        if before and changes:
            refuse_while_locked(before)
        is_new = await self._store.apply(configuration, addresses.last_block(self._subnet), expected, self._base_domain)
        deployment = None
        if changes and is_deployed:
            deployment = await self._configure(configuration.name, actor, "new configuration")
        return Applied(await self._store.service(configuration.name), is_new, deployment)

    async def stop(self, name: str) -> None:
        """The maintenance page takes over, then the replicas stop. Raises `Conflict` while a deployment comes up."""
        service = await self._store.service(name)
        if service.live is None:
            raise Conflict(f"{name} has never been deployed.", f"`o8 deploy {name}` deploys the newest tag.")
        async with self._worker.turn(name):
            await self._store.set_stopped(name, True)
            await self._nginx.maintenance(name, True)
            for slot in SLOTS:
                await self._engine.settle(name, slot, "no")
                await self._engine.stop(name, slot, service.configuration.stop_timeout)

    async def remove(self, name: str) -> None:
        """Takes the service off nginx and Docker. Its volumes and its history stay."""
        await self._store.service(name)
        async with self._worker.turn(name):
            await self._nginx.withdraw(name)
            for slot in SLOTS:
                await self._engine.clear(name, slot)
            await self._store.forget_service(name)

    async def environment(self, name: str) -> str:
        """The `.env` text as written."""
        service = await self._store.service(name)
        sealed = await self._store.environment(name, service.environment_revision)
        return self._vault.open(sealed, environment_row(name, service.environment_revision)) if sealed else ""

    async def set_environment(self, name: str, values: dict[str, str], actor: str) -> Deployment | None:
        """Sets some values, keeps every other line as written, deploys; None while the service does not run."""
        return await self.change_environment(name, values, [], actor)

    async def unset_environment(self, name: str, keys: list[str], actor: str) -> Deployment | None:
        """Removes some names; raises `InvalidInput` when one is not set."""
        return await self.change_environment(name, {}, keys, actor)

    async def change_environment(
        self, name: str, values: dict[str, str], removed: list[str], actor: str
    ) -> Deployment | None:
        """Sets and removes in one revision and one deployment; all of it or nothing."""

        def edit(text: str) -> str:
            for key, value in values.items():
                text = environment.with_value(text, key, value)
            for key in removed:
                text = environment.without(text, key)
            return text

        words = [f"{word} {', '.join(keys)}" for word, keys in (("set", list(values)), ("unset", removed)) if keys]
        return await self._edit_environment(name, edit, actor, f"environment: {'; '.join(words)}")

    async def write_environment(self, name: str, text: str, actor: str) -> Deployment | None:
        """Replaces the whole `.env` text, comments and all."""
        return await self._edit_environment(name, lambda _: text, actor, "environment written")

    async def _edit_environment(
        self, name: str, edit: Callable[[str], str], actor: str, reason: str
    ) -> Deployment | None:
        service = await self._store.service(name)
        before = await self.environment(name)
        text = edit(before)
        names = list(environment.parse(text))
        if text == before:
            raise InvalidInput(f"The environment of {name} already is as asked for.")
        does_run = service.live is not None and not service.is_stopped
        if does_run:
            refuse_while_locked(service)
        revision = service.environment_revision
        row = environment_row(name, revision + 1)
        await self._store.add_environment(name, revision, lambda: self._vault.seal(text, row), names, actor)
        return await self._configure(name, actor, reason) if does_run else None

    async def _configure(self, name: str, actor: str, reason: str) -> Deployment:
        return await self._worker.want(Wanted(service=name, kind=Kind.CONFIGURE, actor=actor, reason=reason))


def release_named(releases: tuple[Deployment, ...], name: str, service: str) -> Deployment:
    """The release that people mean by a tag (`0005` and `5` are the same), a digest's beginning or `#id`."""
    for release in releases:
        numbers = name.isdigit() and release.tag.isdigit() and int(name) == int(release.tag)
        digest = len(name) >= 8 and release.digest.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
        if name == release.tag or numbers or digest or name == f"#{release.id}":
            return release
    raise NotFound(
        f"{service} has no release {name!r:.140}.",
        f"Its releases: {', '.join(release.release for release in releases[:10]) or 'none'}.",
    )
