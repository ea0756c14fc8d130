"""GitHub's own page of what runs where: one deployment there for each of ours.

https://docs.github.com/en/rest/deployments/deployments
"""

from __future__ import annotations

from typing import Any, Literal

from bot.errors import GitHubError
from bot.github.login import Login
from bot.github.transport import GitHub

Status = Literal["queued", "in_progress", "success", "failure", "inactive"]
_LONGEST = 140  # characters of a description


class RemoteDeployments:
    """Those of one installation of o8, which `mark` tells from another one's."""

    def __init__(self, github: GitHub, mark: str) -> None:
        self._github = github
        self._mark = mark

    async def create(self, login: Login, repository: str, commit: str, environment: str, id: int, text: str) -> int:
        """GitHub's number of a new deployment of `commit`; `id` is ours."""
        body = {
            "ref": commit, "environment": environment, "description": text[:_LONGEST],
            "payload": {"o8": self._mark, "deployment": id}, "production_environment": True,
            # Never merged by GitHub, and not kept back by checks: it runs already.
            "auto_merge": False, "required_contexts": [],
        }  # fmt: skip
        found = (await self._github.call("POST", f"/repos/{repository}/deployments", login, body)).body
        return _number(found)

    async def find(self, login: Login, repository: str, commit: str, environment: str, id: int) -> int:
        """That of our deployment `id`, when it was made but the answer was lost; 0 when there is none."""
        query = f"?sha={commit}&environment={environment}&per_page=100"
        found = (await self._github.get(f"/repos/{repository}/deployments{query}", login)).body
        for each in found if isinstance(found, list) else ():
            payload = each.get("payload")
            if isinstance(payload, dict) and (payload.get("o8"), payload.get("deployment")) == (self._mark, id):
                return _number(each)
        return 0

    async def say(self, login: Login, repository: str, number: int, status: Status, text: str, url: str) -> None:
        """A new status; `url` is where the service is seen, empty when it has no address. Others stay as they are:
        o8 marks them itself."""
        body = {
            "state": status, "description": text[:_LONGEST], "auto_inactive": False,
            **({"environment_url": url} if url else {}),
        }  # fmt: skip
        await self._github.call("POST", f"/repos/{repository}/deployments/{number}/statuses", login, body)


def _number(found: Any) -> int:
    id = found.get("id") if isinstance(found, dict) else None
    if not isinstance(id, int):
        raise GitHubError("GitHub did not say which number the deployment has there.")
    return id
