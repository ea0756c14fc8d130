"""GitHub's pages show what runs: one deployment there for each of ours, with its states.

As with cards there is no list of events: what GitHub was told last is compared with what is true.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from bot.accounts import in_words
from bot.errors import GitHubError, GitHubRefused
from bot.github import Access
from bot.github.deployments import Place, RemoteDeployments
from bot.models import Deployment
from bot.notifiers.github.pace import Pace, at_each_commit
from bot.settings import Settings
from bot.store import Store
from bot.store.told import Untold

LOOK_S, PAUSE_S, LONGEST_PAUSE_S = 60.0, 5.0, 300.0
BY_ITSELF = ("delivery", "poller", "o8", "reconciler")
MAY_AGAIN_S = 3600.0  # a token's scopes can be changed at GitHub
_log = logging.getLogger(__name__)


class GitHubNotifier:
    """Tells with the App's rights; without an App with GITHUB_PAT, when that may write deployments; else nothing."""

    def __init__(self, settings: Settings, store: Store, remote: RemoteDeployments, access: Access) -> None:
        self._settings = settings
        self._store = store
        self._remote = remote
        self._access = access
        self._pace = Pace(PAUSE_S, LONGEST_PAUSE_S)
        self._trouble = ""

    def trouble(self) -> str:
        return self._trouble

    async def run(self) -> None:
        """Endless."""
        await self._until_it_may()
        await at_each_commit(self._store, self._tell_all, LOOK_S)

    async def _until_it_may(self) -> None:
        """An App may what its owners gave it, and says where it may not. A token without the right is left alone."""
        while True:
            await self._begin_telling()
            try:
                if self._access.app or (self._access.has_token and await self._remote.may(self._access.person)):
                    self._trouble = ""
                    return
                pause, self._trouble = MAY_AGAIN_S, ""
                await self._store.forget("github_since")
            except GitHubError as trouble:
                pause = self._later(trouble)
            await asyncio.sleep(pause)

    async def _begin_telling(self) -> None:
        """What happened while nobody could tell GitHub is not told; while GitHub does not answer it is kept."""
        if not await self._store.remembered("github_since"):
            await self._store.tell_nothing_older()
            await self._store.remember("github_since", datetime.now(UTC).isoformat())

    async def _tell_all(self) -> float:
        """Seconds to wait before the next try; 0 when GitHub knows everything."""
        while untold := await self._store.untold():
            for one in untold:
                try:
                    await self._tell(one)
                except GitHubRefused as refusal:
                    if refusal.status == 401:  # the login, not this deployment
                        return self._later(refusal)
                    # Such as a repository that the App may not touch: nobody waits for that.
                    _log.warning("GitHub does not take the state of deployment %d: %s", one.deployment.id, refusal)
                    await self._store.was_refused(one.deployment.id, str(refusal))
                except GitHubError as trouble:
                    return self._later(trouble)
        self._pace.went_well()
        self._trouble = ""
        return 0.0

    def _later(self, trouble: GitHubError) -> float:
        """How long to wait after `trouble`: what GitHub asks for, else longer each time."""
        self._trouble = f"GitHub is not told what runs: {trouble}"
        _log.warning("%s", self._trouble)
        return self._pace.after(trouble)

    async def _tell(self, untold: Untold) -> None:
        found = untold.deployment
        owner = untold.repository.partition("/")[0].lower()
        owners = {name.lower() for name in self._settings.owners}
        if owners and owner not in owners:  # somebody else's image, and their page
            await self._store.leave_untold(found.id)
            return
        login = self._access.of(owner)
        number = untold.number or (await self._remote.find(login, _place(untold)) if untold.was_begun else 0)
        if untold.is_of_another_commit:
            if number:
                await self._remote.say(login, untold.repository, number, "inactive", "It is built from another commit.")
            await self._store.begin_telling(found.id, found.repository, found.commit)
            return  # to be looked at anew
        if not number and untold.status == "inactive" and not found.switched_at:  # it came to nothing, unheard of
            await self._store.told(found.id, "inactive")
            return
        if not number:
            await self._store.begin_telling(found.id, untold.repository, untold.commit)
            number = await self._remote.create(login, _place(untold), _why(found))
        if number != untold.number:
            await self._store.know_number(found.id, number)
        if untold.saying and await self._remote.newest_status(login, untold.repository, number) == untold.saying:
            await self._store.told(found.id, untold.saying)
            return  # what is true now may be another one
        await self._store.begin_saying(found.id, untold.status)
        await self._remote.say(login, untold.repository, number, untold.status, _text(found), url=self._url(found),
                               log_url=self._page(found))  # fmt: skip
        await self._store.told(found.id, untold.status)

    def _url(self, found: Deployment) -> str:
        """Where visitors find the service, empty when that is no one address."""
        base, configuration = self._settings.base_domain, found.configuration
        domain = next(iter(configuration.domains), "") or (f"{found.service}.{base}" if base else "")
        scheme = "http" if configuration.site.tls == "off" else "https"
        return f"{scheme}://{domain}/" if domain and "*" not in domain else ""

    def _page(self, found: Deployment) -> str:
        """That of the dashboard, which asks for a login."""
        return f"{self._settings.public_url}/ui/deployments/{found.id}" if self._settings.public_url else ""


def _place(untold: Untold) -> Place:
    return Place(untold.repository, untold.commit, untold.deployment.service, untold.deployment.id)


def _why(found: Deployment) -> str:
    """Names nobody: the page may be public."""
    kind, _, name = found.actor.partition(":")
    return f"{found.kind} by {'a person' if name and kind not in BY_ITSELF else in_words(found.actor)}"


def _text(found: Deployment) -> str:
    """Only how it ended: what went wrong, in o8's words, may tell more than a public page should."""
    return f"{found.service} {found.release}: {found.state.replace('_', ' ')}"
