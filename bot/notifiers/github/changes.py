"""Asks GitHub what is in each release, in the background: a card is posted without it, and edited when it comes."""

from __future__ import annotations

import logging

from bot.errors import GitHubError, GitHubRefused
from bot.github import Access
from bot.github.commits import Commits
from bot.notifiers.github.pace import Pace, at_each_commit
from bot.store import Store
from bot.store.changes import Span

LOOK_S, PAUSE_S, LONGEST_PAUSE_S = 600.0, 10.0, 600.0
_log = logging.getLogger(__name__)


class ChangesReader:
    """With the App's rights, or those of GITHUB_PAT."""

    def __init__(self, store: Store, commits: Commits, access: Access) -> None:
        self._store = store
        self._commits = commits
        self._access = access
        self._pace = Pace(PAUSE_S, LONGEST_PAUSE_S)

    async def run(self) -> None:
        """Endless."""
        await at_each_commit(self._store, self._ask_all, LOOK_S)

    async def _ask_all(self) -> float:
        """Seconds to wait before the next try; 0 when everything is known."""
        while spans := await self._store.unknown_changes():
            for span in spans:
                try:
                    await self._ask(span)
                    self._pace.went_well()
                except GitHubError as trouble:
                    _log.warning("What is in %s %s is not known yet: %s", span.repository, span.head[:7], trouble)
                    return self._pace.after(trouble)
        return 0.0

    async def _ask(self, span: Span) -> None:
        """Kept, also when GitHub refuses: such as a repository that o8 may not read, or a commit that is gone."""
        try:
            found = await self._commits.between(self._access.of(span.repository.partition("/")[0]), *span)
        except GitHubRefused as refusal:
            if refusal.status == 401:  # the login, not this commit
                raise
            _log.info("GitHub does not tell what is in %s %s: %s", span.repository, span.head[:7], refusal)
            await self._store.keep_changes(span, None)
        else:
            await self._store.keep_changes(span, found)
