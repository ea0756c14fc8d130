"""o8 without Docker and nginx: real store, worker, deployer and commands between the stand-ins of `tests.fakes`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
from aiohttp import web

from bot import traffic
from bot.authority import Authority
from bot.candidate import Candidates
from bot.certificates import Standings
from bot.configuration import read
from bot.deployer import Deployer
from bot.doctor import Doctor
from bot.engines import Credentials
from bot.figures import Figures
from bot.follower import Follower
from bot.github import Access, GitHub
from bot.github.packages import Packages
from bot.github_check import GitHubCheck
from bot.health import Prober
from bot.hooks import Webhooks
from bot.images import Images
from bot.inbox import Inbox
from bot.logins import Logins
from bot.logs import Logs
from bot.models import Deployment
from bot.observer import Observer
from bot.operations import Operations
from bot.packages.arrivals import Arrivals
from bot.packages.catalogue import Catalogue
from bot.packages.listing import Listing
from bot.packages.offers import Offers
from bot.passwords import Passwords
from bot.pruning import Pruner
from bot.resolver import Resolver
from bot.safekeeping.backup import Backups
from bot.safekeeping.rotation import Rotation
from bot.services import Services
from bot.settings import Settings
from bot.store import Store
from bot.vault import KEY_FILE, Vault, keep, key_in
from bot.worker import Worker
from handlers import application
from lab.waiting import until
from tests.fakes import FakeEngine, FakeNginx, FakeRegistry


@dataclass
class House:
    folder: Path
    services: Services
    engine: FakeEngine
    nginx: FakeNginx
    registry: FakeRegistry
    client: aiohttp.ClientSession
    port: int  # where the one real "service" answers
    door: web.AppRunner
    doors: list[web.AppRunner] = field(default_factory=list)  # those for everybody

    async def close_door(self) -> None:
        """Nobody answers on the socket any more, as while o8 is restarted; deployments go on."""
        await self.door.cleanup()

    async def open_door(self) -> None:
        self.door = await _listen(self.services)

    async def open_to_all(self) -> str:
        """Also opens what everybody may knock at, until the house is closed; its address, such as `http://127.0.0.1:1`.

        A second time: another port of the same.
        """
        runner = web.AppRunner(
            application.public(self.services), access_log=None, shutdown_timeout=0.1, auto_decompress=False
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.doors.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
        """Status and JSON of one call."""
        async with self.client.request(method, "http://o8/api/v1" + path, json=body, **more) as answer:
            return answer.status, await answer.json(content_type=None)

    def file(self, name: str = "web", **more: Any) -> dict[str, Any]:
        """A service file that the stand-ins can bring up."""
        return {"name": name, "image": "ghcr.io/acme/web", "port": self.port, "watch": 0} | more

    async def add(self, name: str = "web", **more: Any) -> None:
        await self.services.store.apply(read(self.file(name, **more)), 100)

    async def deployed(self, name: str = "web", tag: str = "0001") -> Deployment:
        """A release of `name` that serves and has ended; `worker.start` must have been called."""
        self.registry.push(tag)
        _, asked = await self.ask("POST", f"/services/{name}/deployments", {"release": tag})
        return await self.ended(asked["id"])

    async def ended(self, id: int) -> Deployment:
        async def look() -> Deployment | None:
            found = await self.services.store.deployment(id)
            return found if found.state.is_ending else None

        found = await until(look)
        assert found is not None
        return found


@asynccontextmanager
async def open_house(folder: Path, **chosen: Any) -> AsyncIterator[House]:
    """The socket listens; deployments run once a test calls `services.worker.start()`. `chosen`: settings."""
    settings = Settings(o8_data_dir=folder, **chosen)
    store = await Store.open(settings.database)
    engine, nginx, registry = FakeEngine(), FakeNginx(), FakeRegistry()
    # No nginx here holds idle connections to an old release, so nothing is lost by a short drain.
    short_drain = patch.object(traffic, "SHORTEST_DRAIN_S", 0.05)
    async with aiohttp.ClientSession() as session, _visited() as port:
        short_drain.start()
        services = _join(settings, store, engine, nginx, registry, session)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(settings.socket))) as client:
            house = House(folder, services, engine, nginx, registry, client, port, await _listen(services))
            yield house
        await services.logs.close()
        await services.worker.stop()
        short_drain.stop()
        await house.close_door()
        for door in house.doors:
            await door.cleanup()
        services.logins.close()
    await store.close()


def _join(settings: Settings, store: Store, engine: Any, nginx: Any, registry: Any,
          session: aiohttp.ClientSession) -> Services:  # fmt: skip
    if not (settings.o8_data_dir / KEY_FILE).exists():
        keep(settings.o8_data_dir, ["ab" * 32])  # the same for all, so that databases can be copied
    vault = Vault(settings.o8_secret_key.get_secret_value() or key_in(settings.o8_data_dir))
    authority = Authority(store, settings.auth_username)
    credentials = Credentials("ghcr.io", "", "")
    pruner = Pruner(store, engine)
    candidates = Candidates(engine, pruner, Prober(session), credentials, "")
    deployer = Deployer(
        store, Resolver(registry), candidates, traffic.Traffic(nginx, engine.addresses), lambda state, moment: None
    )
    worker = Worker(store, deployer, vault, authority, 2)
    follower = Follower(store, registry, worker, 600)
    operations = Operations(store, engine, nginx, worker, vault, settings.o8_subnet, settings.base_domain)
    offers = Offers(store, registry, "ghcr.io", settings.base_domain, settings.public_url)
    arrivals = Arrivals(store, offers, operations, worker, follower, settings.auto_install_owners)
    observer, inbox = Observer(engine), Inbox(store, worker, follower, arrivals)
    github = GitHub(session, settings.github_api_url)
    access = Access(settings.github_pat.get_secret_value(), settings.github_app_id,
                    settings.github_app_key.get_secret_value())  # fmt: skip
    webhooks = Webhooks(settings, store, github, access)
    catalogue = Catalogue(store, Packages(github, access.person, "ghcr.io"), settings.owners, "ghcr.io")
    check = GitHubCheck(github, access, catalogue)
    doctor = Doctor(settings, store, engine, nginx, registry, missed=webhooks.sweeper.finding, access=check.look)
    return Services(
        settings=settings, store=store, vault=vault, rotation=Rotation(store, vault, settings),
        backups=Backups(store, settings), authority=authority, worker=worker, follower=follower,
        logins=Logins(store, Passwords(), settings.auth_username, settings.auth_password.get_secret_value()),
        operations=operations, offers=offers,
        logs=Logs(store, engine, vault), images=Images(registry, engine, pruner, credentials), pruner=pruner,
        observer=observer, inbox=inbox, doctor=doctor, catalogue=catalogue,
        webhooks=webhooks,
        standings=Standings(settings, store),
        listing=Listing(settings, store, follower, catalogue, engine),
        figures=Figures(settings, store, observer, inbox, doctor, nginx),
    )  # fmt: skip


async def _listen(services: Services) -> web.AppRunner:
    runner = web.AppRunner(application.private(services), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(services.settings.socket)).start()
    return runner


@asynccontextmanager
async def _visited() -> AsyncIterator[int]:
    """A port that answers every request: what the probes of a deployment ask."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
