"""GitHub's own page of what runs where: one deployment there for each of ours.

https://docs.github.com/en/rest/deployments/deployments
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from bot.errors import GitHubError
from bot.github.login import Login
from bot.github.transport import GitHub

Status = Literal["queued", "in_progress", "success", "failure", "inactive"]
MAY_DEPLOY = frozenset({"repo", "repo_deployment"})  # a classic token needs one of these scopes
_LONGEST = 140  # characters of a description
_PAGES = 5  # of 100: so many deployments of one commit in one environment are looked through


class Place(NamedTuple):
    """What GitHub files a deployment under. `id` is ours, `environment` the service."""

    repository: str
    commit: str
    environment: str
    id: int


class RemoteDeployments:
    """Those of one installation of o8, which `mark` tells from another one's."""

    def __init__(self, github: GitHub, mark: str) -> None:
        self._github = github
        self._mark = mark

    async def may(self, login: Login) -> bool:
        """Whether a person's token may write deployments. What tells no scopes is taken for one that may not."""
        # https://docs.github.com/en/rest/rate-limit/rate-limit: it costs nothing
        scopes = (await self._github.get("/rate_limit", login)).scopes
        return bool(MAY_DEPLOY & (scopes or frozenset()))

    async def create(self, login: Login, place: Place, text: str) -> int:
        """GitHub's number of a new deployment; `text` says why there is one."""
        body = {
            "ref": place.commit, "environment": place.environment, "description": text[:_LONGEST],
            "payload": {"o8": self._mark, "deployment": place.id}, "production_environment": True,
            # Never merged by GitHub, and not kept back by checks: it is under way already.
            "auto_merge": False, "required_contexts": [],
        }  # fmt: skip
        return _number((await self._github.call("POST", f"/repos/{place.repository}/deployments", login, body)).body)

    async def find(self, login: Login, place: Place) -> int:
        """That of our deployment, when it was made but the answer was lost; 0 when there is none."""
        query = f"?sha={place.commit}&environment={place.environment}&per_page=100"
        page = f"/repos/{place.repository}/deployments{query}"
        for _ in range(_PAGES):
            answer = await self._github.get(page, login)
            for each in answer.body if isinstance(answer.body, list) else ():
                payload = each.get("payload")
                if isinstance(payload, dict) and payload == {"o8": self._mark, "deployment": place.id}:
                    return _number(each)
            if not (page := answer.next_page):
                break
        return 0

    async def newest_status(self, login: Login, repository: str, number: int) -> str:
        """Empty when none was set."""
        path = f"/repos/{repository}/deployments/{number}/statuses?per_page=1"
        found = (await self._github.get(path, login)).body
        return str(found[0].get("state", "")) if isinstance(found, list) and found else ""

    async def say(self, login: Login, repository: str, number: int, status: Status, text: str, *, url: str = "",
                  log_url: str = "") -> None:  # fmt: skip
        """A new status. `url`: where the service is seen; `log_url`: the page about it; empty when there is none.

        Other deployments stay as they are: o8 marks them itself.
        """
        body = {
            "state": status, "description": text[:_LONGEST], "auto_inactive": False,
            **({"environment_url": url} if url else {}), **({"log_url": log_url} if log_url else {}),
        }  # fmt: skip
        await self._github.call("POST", f"/repos/{repository}/deployments/{number}/statuses", login, body)


def _number(found: Any) -> int:
    id = found.get("id") if isinstance(found, dict) else None
    if not isinstance(id, int):
        raise GitHubError("GitHub did not say which number the deployment has there.")
    return id
