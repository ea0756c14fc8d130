"""Whether GitHub lets o8 in, and for what: a part of `o8 doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bot import findings
from bot.errors import GitHubError, GitHubNotInstalled, GitHubRefused, GitHubUnavailable
from bot.findings import Finding
from bot.github import Access, GitHub
from bot.github.limits import limit
from bot.packages.catalogue import Catalogue

PATIENCE_S = 5.0
LITTLE_LEFT = 0.1  # of an hour's requests
_NEEDED = frozenset({"read:packages", "write:packages"})  # the second one includes the first
_NEW_TOKEN = "Make a classic token with read:packages at https://github.com/settings/tokens and set it as GITHUB_PAT."  # noqa: S105


class GitHubCheck:
    def __init__(self, github: GitHub, access: Access, catalogue: Catalogue) -> None:
        self._github = github
        self._access = access
        self._catalogue = catalogue

    async def look(self) -> AsyncIterator[Finding]:
        """Changes nothing, and costs a request for each owner without the App at most."""
        if not self._access.app and not self._access.has_token:
            yield findings.ok("GitHub", "Off: neither GITHUB_PAT nor an App is set, so o8 knows what webhooks tell.")
            return
        for finding in await self._asked():
            yield finding
        if trouble_of_list := self._catalogue.trouble:
            yield findings.warning("GitHub catalogue", f"The list of packages is not up to date: {trouble_of_list}",
                                   "`o8 available` and `o8 versions` show what was read before.")  # fmt: skip

    async def _asked(self) -> list[Finding]:
        found: list[Finding] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                found.append(await self._of_token() if self._access.has_token else _no_token())
                found += await self._of_app()
        except TimeoutError:
            found.append(findings.warning("GitHub", f"It gave no answer within {PATIENCE_S:g} s; deployments go on.",
                                          "https://www.githubstatus.com says whether others wait, too."))  # fmt: skip
        except GitHubUnavailable as trouble:
            found.append(findings.warning("GitHub", trouble.message, "Deployments go on; look again later."))
        return found

    async def _of_token(self) -> Finding:
        try:
            found = await limit(self._github, self._access.person)
        except GitHubRefused as refusal:
            if refusal.status != 401:
                return findings.of_failure("GitHub", refusal)
            return findings.fault("GitHub", "GitHub refuses GITHUB_PAT: it has ended, or was taken back.", _NEW_TOKEN)
        except GitHubUnavailable:
            raise
        except GitHubError as failure:
            return findings.of_failure("GitHub", failure)
        left = f"{found.remaining} of {found.most} requests are left until {found.resets_at:%H:%M} UTC"
        if found.scopes is None:
            return findings.warning("GitHub", "GITHUB_PAT is no classic token, and GitHub shows packages to no other.",
                                    _NEW_TOKEN)  # fmt: skip
        if not found.scopes & _NEEDED:
            return findings.warning("GitHub", "GITHUB_PAT may not read packages.", _NEW_TOKEN)
        if found.remaining < found.most * LITTLE_LEFT:
            return findings.warning("GitHub", f"Of GITHUB_PAT, only {left}.",
                                    "Who else uses the token? What o8 looks for waits until then.")  # fmt: skip
        return findings.ok("GitHub", f"GitHub knows GITHUB_PAT; {left}.")

    async def _of_app(self) -> list[Finding]:
        if self._access.app is None:
            return []
        try:
            found = (await self._github.get("/app", self._access.app)).body
        except GitHubRefused as refusal:
            return [findings.fault(
                "GitHub App", f"GitHub refuses the App: {refusal.message}",
                "GITHUB_APP_ID and GITHUB_APP_KEY must be of the same App; the key is made in its settings. "
                "A clock that is a minute off is refused as well.",
            )]  # fmt: skip
        name = str(found.get("slug") or "") if isinstance(found, dict) else ""
        missing = [finding for owner in await self._catalogue.owners() if (finding := await self._of_owner(owner))]
        return missing or [findings.ok("GitHub App", f"GitHub knows the App {name}, and it is installed everywhere.")]

    async def _of_owner(self, owner: str) -> Finding | None:
        app = self._access.app
        try:
            if app:
                await app.of(owner).authorization(self._github)
        except GitHubNotInstalled as missing:
            return findings.warning("GitHub App", missing.message, missing.next_step)
        except GitHubRefused as refusal:
            return findings.warning("GitHub App", refusal.message, refusal.next_step or "Look at it at GitHub.")
        return None


def _no_token() -> Finding:
    return findings.warning(
        "GitHub", "An App cannot list packages, and GITHUB_PAT is not set: o8 offers what webhooks tell.", _NEW_TOKEN
    )
