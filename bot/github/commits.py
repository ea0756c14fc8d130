"""What is in a release: the commits between two of them, and who wrote them.

https://docs.github.com/en/rest/commits/commits
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import Field

from bot.github.login import Login
from bot.github.transport import GitHub
from bot.models import Model

_READ = 100  # commits whose authors are read, of however many there are
_NAMED = 3  # authors


class Author(Model):
    """`login` at GitHub, empty where GitHub knows no account with the address in the commit."""

    login: str
    name: str


class Changes(Model):
    """From one commit to another. Both numbers: neither of the two is built upon the other."""

    ahead: int = Field(0, description="commits that came")
    behind: int = Field(0, description="commits that went, as by a rollback")
    authors: tuple[Author, ...] = Field((), description="of what came, who wrote the most first")
    more: int = Field(0, description="further authors")


class Commits:
    def __init__(self, github: GitHub) -> None:
        self._github = github

    async def between(self, login: Login, repository: str, base: str, head: str) -> Changes:
        """What `head` has that `base` has not, and the other way round; without a `base`: that one commit.

        Raises as `GitHub.get`; `GitHubRefused` 404 for what the login may not see.
        """
        if not base:
            found = (await self._github.get(f"/repos/{repository}/commits/{head}", login)).body
            return _changes(1, 0, [found])
        path = f"/repos/{repository}/compare/{base}...{head}?per_page={_READ}"
        found = (await self._github.get(path, login)).body
        ahead, behind, commits = found.get("ahead_by"), found.get("behind_by"), found.get("commits")
        return _changes(int(ahead or 0), int(behind or 0), commits if isinstance(commits, list) else [])


def _changes(ahead: int, behind: int, commits: list[Any]) -> Changes:
    counted = Counter(author for commit in commits if (author := _author(commit)))
    authors = [author for author, _ in counted.most_common()]
    return Changes(ahead=ahead, behind=behind, authors=tuple(authors[:_NAMED]), more=max(len(authors) - _NAMED, 0))


def _author(commit: Any) -> Author | None:
    """By GitHub's account where it knows one for the address in the commit, else as the commit says."""
    account, written = _at(commit, "author", "login"), _at(commit, "commit", "author", "name")
    return Author(login=account[:100], name=written[:100]) if account or written else None


def _at(value: Any, *path: str) -> str:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
