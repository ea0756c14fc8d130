"""The composition root: chooses the parts, joins them, owns start and stop. The only module that imports `handlers`."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web

from bot.authority import Authority
from bot.candidate import Candidates
from bot.certificates import Certificates, Standings
from bot.deployer import Checkpoint, Deployer
from bot.disks import Disks
from bot.doctor import Doctor
from bot.engines import Credentials, Engine
from bot.engines.docker import DockerEngine
from bot.errors import O8Error, StoreUnavailable
from bot.figures import Figures
from bot.follower import Follower
from bot.github import Access, GitHub
from bot.github.commits import Commits
from bot.github.deployments import RemoteDeployments
from bot.github.packages import Packages
from bot.github_check import GitHubCheck
from bot.health import Prober
from bot.hooks import Webhooks
from bot.images import Images
from bot.inbox import Inbox
from bot.logins import Logins
from bot.logs import Logs
from bot.nginx import Nginx
from bot.notifiers.github import GitHubNotifier
from bot.notifiers.github.changes import ChangesReader
from bot.observer import Observer
from bot.operations import Operations
from bot.packages.arrivals import Arrivals
from bot.packages.catalogue import Catalogue
from bot.packages.listing import Listing
from bot.packages.offers import Offers
from bot.passwords import Passwords
from bot.pruning import Pruner
from bot.reconciler import Reconciler
from bot.registry import Registry
from bot.resolver import Resolver
from bot.safekeeping.backup import Backups
from bot.safekeeping.rotation import Rotation
from bot.services import Services
from bot.settings import Settings
from bot.store import Store
from bot.traffic import Traffic
from bot.vault import Vault, key_in
from bot.worker import Worker
from handlers import application

RESTART_S = 5.0
FINISH_S = 10.0  # for a change of nginx that is under way when o8 is to end
Part = Callable[[], Awaitable[None]]
BACKLOG = 1024  # a burst of connections must not wait for TCP to try again, which takes a second
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}
_log = logging.getLogger(__name__)
if TYPE_CHECKING:
    from bot.notifiers.slack import SlackNotifier
    from handlers.slack import Chat


class App:
    """One running o8. `async with await App.start(settings)` is all that `o8 serve`, demo and tests do."""

    def __init__(self, services: Services, engine: Engine, nginx: Nginx, parts: Sequence[Part],
                 slack: SlackNotifier | None, session: aiohttp.ClientSession) -> None:  # fmt: skip
        """`parts`: what runs for ever, from when Docker and nginx answer."""
        self.services = services
        self.engine = engine
        self.nginx = nginx
        self._parts = parts
        self._session = session
        self._slack = slack
        self._chat: Chat | None = None
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.settled = asyncio.Event()  # nginx and Docker answer, or one of them did not when it was first asked

    @classmethod
    async def start(cls, settings: Settings, checkpoint: Checkpoint = lambda state, moment: None) -> Self:
        """Answers webhooks as soon as the database is open; everything else follows when Docker and nginx answer.

        Raises `SettingsError`, `AlreadyRunning`, `StoreUnavailable`; `OSError` when the port is taken.
        """
        settings.o8_data_dir.mkdir(parents=True, exist_ok=True)
        settings.o8_data_dir.chmod(0o700)
        access = _access(settings)  # first: what is wrong with the settings must leave nothing open
        store = await Store.open(settings.database)
        app = cls._join(settings, store, access, checkpoint)
        try:
            await app._open_chat(settings)
            await app._listen(settings)
            if password := await app.services.logins.first_password():
                _log.warning("The password of %s is %s; it is told this once", settings.auth_username, password)
        except BaseException:
            await app.close()
            raise
        app._tasks.append(asyncio.create_task(app._bring_up(), name="bring up"))
        return app

    @classmethod
    def _join(cls, settings: Settings, store: Store, access: Access, checkpoint: Checkpoint) -> Self:
        session, authority = aiohttp.ClientSession(), Authority(store, settings.auth_username)
        vault = _vault(settings)
        credentials = Credentials(settings.docker_server_address, settings.docker_username, settings.registry_password)
        engine = _engine(settings, store)
        nginx, slack = Nginx(settings), _slack(settings, store, session)
        registry = Registry(session, credentials, f"linux/{_MACHINES.get(platform.machine(), platform.machine())}")
        pruner = Pruner(store, engine)
        candidates = Candidates(engine, pruner, Prober(session), credentials, settings.base_domain)
        traffic = Traffic(nginx, engine.addresses)
        deployer = Deployer(store, Resolver(registry), candidates, traffic, checkpoint)
        worker = Worker(store, deployer, vault, authority, settings.o8_places)
        follower = Follower(store, registry, worker, settings.poll_interval)
        logins = Logins(store, Passwords(), settings.auth_username, settings.auth_password.get_secret_value())
        operations = Operations(store, engine, nginx, worker, vault, settings.o8_subnet, settings.base_domain)
        offers = Offers(store, registry, settings.docker_server_address, settings.base_domain, settings.public_url)
        arrivals = Arrivals(store, offers, operations, worker, follower, settings.auto_install_owners)
        observer, inbox = Observer(engine), Inbox(store, worker, follower, arrivals)
        github, server = GitHub(session, settings.github_api_url), settings.docker_server_address
        catalogue = Catalogue(store, Packages(github, access.person, server), settings.owners, server)
        webhooks = Webhooks(settings, store, github, access)
        telling = GitHubNotifier(settings, store, RemoteDeployments(github, store.installation), access)
        check = GitHubCheck(github, access, catalogue)
        doctor = Doctor(settings, store, engine, nginx, registry, slack, telling, webhooks.sweeper.finding, check.look)
        services = Services(
            settings=settings, store=store, vault=vault, rotation=Rotation(store, vault, settings),
            backups=Backups(store, settings), authority=authority, logins=logins, worker=worker,
            follower=follower, operations=operations, offers=offers,
            logs=Logs(store, engine, vault), images=Images(registry, engine, pruner, credentials), pruner=pruner,
            observer=observer, inbox=inbox, doctor=doctor, catalogue=catalogue, webhooks=webhooks,
            standings=Standings(settings, store),
            listing=Listing(settings, store, follower, catalogue, engine),
            figures=Figures(settings, store, observer, inbox, doctor, nginx),
        )  # fmt: skip
        reconciler = Reconciler(store, engine, nginx, traffic, worker)
        certificates = Certificates(settings, store, nginx, reconciler.notice)
        disks = Disks(store, engine, pruner, settings.o8_data_dir)
        parts = [reconciler.run, follower.run, arrivals.run, observer.run, disks.run, certificates.run, telling.run]
        if slack and (access.app or access.has_token):
            parts.append(ChangesReader(store, Commits(github), access).run)
        if access.has_token:
            parts.append(catalogue.run)
        if access.app or access.has_token:
            parts.append(webhooks.sweeper.run)
        return cls(services, engine, nginx, parts, slack, session)

    async def close(self) -> None:
        """Stops listening and working. Sites stay up: containers and nginx belong to nobody's process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._chat:
            await self._chat.close()
        await self.services.logs.close()
        await self.services.worker.stop()
        for runner in self._runners:
            await runner.cleanup()
        self.services.settings.socket.unlink(missing_ok=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                await self.nginx.finish()
        await self.engine.close()
        self.services.logins.close()
        await self._session.close()
        await self.services.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.close()

    async def _open_chat(self, settings: Settings) -> None:
        """Slack, where a token is set."""
        if self._slack is None:
            await self.services.store.forget("slack_since")  # what happens now is not told afterwards
            return
        from handlers.slack import Chat

        notifier = self._slack
        self._chat = Chat(self.services, notifier.client, lambda: notifier.identity)
        self._tasks.append(asyncio.create_task(_endlessly(notifier.run), name="cards"))
        await self._chat.start()

    async def _listen(self, settings: Settings) -> None:
        """For the world over TCP, for this machine on the Unix socket, whose mode makes its callers admins."""
        public = application.public(self.services, self._chat.routes() if self._chat else ())
        await web.TCPSite(await self._runner(public), settings.bind, settings.port, backlog=BACKLOG).start()
        if address := settings.metrics_address:
            await self._listen_for_prometheus(*address)
        settings.socket.unlink(missing_ok=True)  # the lock on the database says that nobody else uses it
        runner = await self._runner(application.private(self.services))
        mask = os.umask(0o177)
        try:
            await web.UnixSite(runner, str(settings.socket)).start()
        finally:
            os.umask(mask)

    async def _listen_for_prometheus(self, host: str, port: int) -> None:
        runner = await self._runner(application.metrics_only(self.services))
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise O8Error(
                f"o8 cannot listen on METRICS_BIND: {error.strerror or error}.", "Choose another address or port."
            ) from None

    async def _runner(self, server: web.Application) -> web.AppRunner:
        # Bodies stay as they came: a signature is over raw bytes, and nobody may make o8 inflate.
        runner = web.AppRunner(server, access_log=None, shutdown_timeout=5.0, auto_decompress=False)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _bring_up(self) -> None:
        """Docker and nginx may come later than o8: tried until they answer."""
        await _until_it_works("nginx", self.nginx.start, self.settled.set)
        await _until_it_works("Docker", self.engine.facts, self.settled.set)
        self.settled.set()
        await self.services.worker.start()
        self._tasks += [asyncio.create_task(_endlessly(part)) for part in self._parts]


def _engine(settings: Settings, store: Store) -> DockerEngine:
    return DockerEngine(
        host=settings.docker_host, network=settings.o8_network, subnet=settings.o8_subnet,
        installation=store.installation, volumes_dir=settings.volumes_dir,
    )  # fmt: skip


def _access(settings: Settings) -> Access:
    return Access(
        settings.github_pat.get_secret_value(), settings.github_app_id, settings.github_app_key.get_secret_value()
    )


def _vault(settings: Settings) -> Vault:
    if keys := settings.o8_secret_key.get_secret_value():
        return Vault(keys)
    keys = key_in(settings.o8_data_dir)
    if "," in keys:
        _log.warning("Replacing the key was cut off; nothing is lost, and `o8 rotate-key` finishes it")
    return Vault(keys)


def _slack(settings: Settings, store: Store, session: aiohttp.ClientSession) -> SlackNotifier | None:
    """Where a token is set. Slack's libraries are imported only then: they take 10 MB."""
    token = settings.slack_bot_token.get_secret_value()
    if not token:
        return None
    from bot.notifiers.slack import SlackNotifier
    from bot.notifiers.slack.client import SlackClient

    return SlackNotifier(settings, store, SlackClient(token, settings.slack_api_url, session))


async def _until_it_works(name: str, begin: Callable[[], Awaitable[object]], failed: Callable[[], None]) -> None:
    delay = 0.5
    while True:
        try:
            await begin()
            return
        except O8Error as trouble:
            _log.warning("%s is not ready: %s", name, trouble)
            failed()
            await asyncio.sleep(delay)
            delay = min(delay * 2, 10.0)


async def _endlessly(begin: Part) -> None:
    while True:
        try:
            await begin()
        except StoreUnavailable as trouble:
            _log.warning("A part of o8 waits for the database: %s", trouble)
        except Exception:
            _log.exception("A part of o8 that runs for ever has ended by a fault inside o8; it starts again")
        await asyncio.sleep(RESTART_S)
