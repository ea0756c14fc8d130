"""A house that tells GitHub what runs, with the App `acme` has installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp

from bot.github import Access, GitHub
from bot.github.deployments import RemoteDeployments
from bot.models import Deployment, Kind, Wanted
from bot.notifiers import github as telling
from bot.notifiers.github import GitHubNotifier
from bot.registry.manifests import Config
from lab.github_api import TOKEN, FakeGitHub, fake_github
from lab.github_api.apps import CLIENT_ID
from lab.waiting import until
from tests.small_house import House, open_house

REPOSITORY = "acme/web"
History = list[tuple[str, list[str]]]


@dataclass
class Teller:
    """`start` and `kill` a notifier as o8 and its kill would. `commits` has what each tag was built from."""

    house: House
    api: FakeGitHub
    session: aiohttp.ClientSession
    commits: dict[str, str]
    notifier: GitHubNotifier | None = None
    task: asyncio.Task[None] | None = None

    async def start(self, who: str = "app", kind: type[RemoteDeployments] = RemoteDeployments) -> GitHubNotifier:
        """`who`: app, person or nobody; `kind`: how GitHub is asked.

        Returns once what happens from now on is told, or is known not to be.
        """
        app = (CLIENT_ID, self.api.app_key) if who == "app" else ("", "")
        access = Access(TOKEN if who == "person" else "", *app)
        store, github = self.house.services.store, GitHub(self.session, self.api.url)
        remote = kind(github, store.installation)
        self.notifier = GitHubNotifier(self.house.services.settings, store, remote, access)
        self.task = asyncio.create_task(self.notifier.run())
        may = who == "app" or (who == "person" and self.api.scopes & {"repo", "repo_deployment"})

        async def has_begun() -> bool:
            return bool(await store.remembered("github_since")) == bool(may)

        await until(has_begun)
        return self.notifier

    async def kill(self) -> None:
        if self.task:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    def push(self, tag: str, repository: str = REPOSITORY) -> str:
        """An image whose labels name a new commit, which is returned."""
        self.commits[tag] = self.api.commit(repository)
        self.label(tag, repository, self.commits[tag])
        return self.commits[tag]

    def label(self, tag: str, repository: str, commit: str) -> None:
        labels = {
            "org.opencontainers.image.source": f"https://github.com/{repository}",
            "org.opencontainers.image.revision": commit,
        }
        config = {"os": "linux", "architecture": "amd64", "config": {"Labels": labels}}
        self.house.registry.abouts[self.house.registry.push(tag)] = Config.model_validate(config)

    async def want(self, kind: Kind = Kind.DEPLOY, service: str = "web", **more: Any) -> Deployment:
        wanted = {"service": service, "kind": kind, "actor": "user:admin"} | more
        return await self.house.services.worker.want(Wanted.model_validate(wanted))

    async def deploy(self, tag: str, service: str = "web", **more: Any) -> Deployment:
        """To its ending."""
        return await self.house.ended((await self.want(tag=tag, service=service, **more)).id)

    async def shows(self, *expected: tuple[str, list[str]], repository: str = REPOSITORY) -> None:
        """GitHub shows these deployments, by their tags, with these states; and nothing is left to be told."""
        wanted: History = [(self.commits.get(tag, tag), states) for tag, states in expected]

        async def look() -> bool:
            untold = await self.house.services.store.untold()
            return not untold and self.api.history(repository) == wanted

        try:
            await until(look)
        except TimeoutError:
            untold = [one._replace(deployment=None) for one in await self.house.services.store.untold()]  # type: ignore[arg-type]
            raise AssertionError(f"{self.api.history(repository)} instead of {wanted}; untold: {untold}") from None


@asynccontextmanager
async def teller(folder: Path, **settings: str) -> AsyncIterator[Teller]:
    """With service `web`, whose deployments run at once; nobody tells GitHub yet."""
    short = [patch.object(telling, name, 0.05) for name in ("PAUSE_S", "LONGEST_PAUSE_S")]
    with fake_github() as api:
        api.installations["acme"] = 11
        api.commits_of[REPOSITORY] = []
        async with (
            open_house(folder, base_domain="example.org", **settings) as house,
            aiohttp.ClientSession() as session,
        ):
            found = Teller(house, api, session, {})
            for each in short:
                each.start()
            await house.add()
            await house.services.worker.start()
            yield found
            await found.kill()
            for each in short:
                each.stop()
