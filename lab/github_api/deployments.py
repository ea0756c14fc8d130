"""Deployments of repositories with their statuses, and the commits that they are of.

https://docs.github.com/en/rest/deployments, https://docs.github.com/en/rest/commits
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from lab.github_api.server import CALLER, Body, Caller, Handler, Part, paged, refusal

LONGEST = 140  # characters of a description
STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
MAY_DEPLOY = frozenset({"repo", "repo_deployment"})  # one of these scopes a person's token needs
ENVIRONMENT_LENGTH = 255


@dataclass(frozen=True)
class Commit:
    """`login` None: GitHub knows nobody with the author's address. `parent` is empty for the first one."""

    sha: str
    parent: str
    name: str
    login: str | None
    message: str


@dataclass
class Deployed:
    """A deployment as GitHub has it. `statuses` as they were sent, oldest first."""

    id: int
    repository: str
    body: Body
    statuses: list[Body] = field(default_factory=list)

    @property
    def states(self) -> list[str]:
        return [status["state"] for status in self.statuses]

    @property
    def about(self) -> tuple[str, str, list[str]]:
        """Environment, commit and states in their order."""
        return self.body["environment"], self.body["ref"], self.states


class Deployments(Part):
    """`commits_of` has the commits of each repository (`acme/web`), oldest first; `commit` adds one.

    `deployed` has all deployments, oldest first; `told` each status with its deployment's number, as they came.
    `read_only`: repositories whose installation may not write deployments. `answers_lost`: so many of the next
    `POST`s are obeyed and then cut off. `held`: the `POST` of this number (from 1) is obeyed and its answer kept back,
    while `is_held`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits_of: dict[str, list[Commit]] = {}
        self.deployed: list[Deployed] = []
        self.told: list[tuple[int, str]] = []
        self.read_only: set[str] = set()
        self.answers_lost = 0
        self.posts = 0
        self.held = 0
        self.is_held = False

    def commit(self, repository: str, login: str | None = "ada", *, name: str = "Ada", message: str = "",
               parent: str | None = None) -> str:  # fmt: skip
        """A new commit, on top of the newest one unless `parent` is named; returns its id."""
        known = self.commits_of.setdefault(repository.lower(), [])
        parent = (known[-1].sha if known else "") if parent is None else parent
        sha = hashlib.sha1(f"{repository} {len(known)} {parent}".encode(), usedforsecurity=False).hexdigest()
        known.append(Commit(sha, parent, name, login, message or f"Change {len(known) + 1}"))
        return sha

    def history(self, repository: str, environment: str = "") -> list[tuple[str, list[str]]]:
        """What GitHub's page shows, oldest first: the commit and the states of each deployment."""
        return [
            (one.body["ref"], one.states) for one in list(self.deployed)
            if one.repository == repository.lower() and environment in ("", one.body["environment"])
        ]  # fmt: skip

    def routes(self) -> Sequence[web.RouteDef]:
        repository = "/repos/{owner}/{repository}"
        return [
            *super().routes(),
            web.get(f"{repository}/commits/{{sha}}", self._reading(self._commit)),
            web.get(f"{repository}/compare/{{range}}", self._reading(self._compare)),
            web.get(f"{repository}/deployments", self._deploying(self._list)),
            web.post(f"{repository}/deployments", self._deploying(self._create)),
            web.get(f"{repository}/deployments/{{id}}/statuses", self._deploying(self._statuses)),
            web.post(f"{repository}/deployments/{{id}}/statuses", self._deploying(self._add_status)),
        ]

    def _reading(self, handler: Handler) -> Handler:
        """For those who see the repository, which is private: others are told that it does not exist."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            name = _name(request)
            if name not in self.commits_of or not self._sees(request[CALLER], name):
                return refusal(404, "Not Found")
            answer: web.StreamResponse = await handler(request)
            return answer

        return guarded

    def _deploying(self, handler: Handler) -> Handler:
        """https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps"""

        async def guarded(request: web.Request) -> web.StreamResponse:
            name, caller = _name(request), request[CALLER]
            is_person = caller.kind == "person" and self.scopes & MAY_DEPLOY
            if name not in self.commits_of or not (is_person or self._sees(caller, name)):
                return refusal(404, "Not Found")
            if name in self.read_only and request.method == "POST":
                return refusal(403, "Resource not accessible by integration")
            answer: web.StreamResponse = await handler(request)
            if request.method == "POST" and answer.status == 201:
                await self._obeyed(request)
            return answer

        return guarded

    async def _obeyed(self, request: web.Request) -> None:
        self.posts += 1
        self.is_held = self.posts == self.held
        while self.is_held:  # noqa: ASYNC110 - ended from another thread
            await asyncio.sleep(0.02)
        if self.answers_lost > 0 and request.transport:
            self.answers_lost -= 1
            request.transport.abort()

    def _sees(self, caller: Caller, repository: str) -> bool:
        if caller.kind == "person":
            return "repo" in self.scopes
        return caller.kind == "installation" and caller.owner.lower() == repository.partition("/")[0]

    async def _commit(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/commits/commits#get-a-commit"""
        found = self._find(_name(request), request.match_info["sha"])
        if found is None:
            return refusal(422, f"No commit found for SHA: {request.match_info['sha']}")
        return web.json_response(_shown(found))

    async def _compare(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/commits/commits#compare-two-commits"""
        name = _name(request)
        base, dots, head = request.match_info["range"].partition("...")
        old, new = list(self._line(name, base)), list(self._line(name, head))
        if not dots or not old or not new:
            return refusal(404, "Not Found")
        ahead = [each for each in reversed(new) if each not in old]
        behind = [each for each in old if each not in new]
        status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
        size, page = int(request.query.get("per_page", "250")), int(request.query.get("page", "1"))
        return web.json_response({
            "status": status.get((bool(ahead), bool(behind)), "identical"), "ahead_by": len(ahead),
            "behind_by": len(behind), "total_commits": len(ahead),
            "commits": [_shown(each) for each in ahead[(page - 1) * size : page * size]],
        })  # fmt: skip

    async def _list(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/deployments/deployments#list-deployments"""
        query, name = request.query, _name(request)
        found = [
            one for one in reversed(self.deployed)
            if one.repository == name and query.get("sha", one.body["ref"]) == one.body["ref"]
            and query.get("environment", one.body["environment"]) == one.body["environment"]
        ]  # fmt: skip
        return paged(request, self.url, found, lambda _, one: self._deployment(one))

    async def _create(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/deployments/deployments#create-a-deployment"""
        body, name = await request.json(), _name(request)
        if wrong := _wrong_deployment(body):
            return refusal(422, wrong)
        if self._find(name, body["ref"]) is None:
            return refusal(422, f"No ref found for: {body['ref']}")
        if body.get("required_contexts") != []:
            return refusal(409, f"Conflict: Commit status checks failed for {body['ref']}.")
        if body.get("auto_merge") is not False:
            return refusal(409, "Conflict merging main into the ref.")
        self.deployed.append(Deployed(1_000_000 + len(self.deployed), name, body))
        return web.json_response(self._deployment(self.deployed[-1]), status=201)

    async def _statuses(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/deployments/statuses#list-deployment-statuses"""
        found = self._deployed(request)
        if found is None:
            return refusal(404, "Not Found")
        return paged(request, self.url, list(reversed(found.statuses)), lambda at, status: {"id": at} | status)

    async def _add_status(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status"""
        found, body = self._deployed(request), await request.json()
        if found is None:
            return refusal(404, "Not Found")
        if wrong := _wrong_status(body):
            return refusal(422, wrong)
        found.statuses.append(body | {"created_at": datetime.now(UTC).isoformat(timespec="seconds")})
        self.told.append((found.id, body["state"]))
        return web.json_response({"id": len(self.told), "state": body["state"]}, status=201)

    def _deployment(self, one: Deployed) -> Body:
        return {
            "id": one.id, "sha": one.body["ref"], "ref": one.body["ref"], "task": "deploy",
            "payload": one.body.get("payload", {}), "environment": one.body["environment"],
            "description": one.body.get("description"),
            "statuses_url": f"{self.url}/repos/{one.repository}/deployments/{one.id}/statuses",
        }  # fmt: skip

    def _deployed(self, request: web.Request) -> Deployed | None:
        wanted = _name(request), request.match_info["id"]
        return next((one for one in self.deployed if (one.repository, str(one.id)) == wanted), None)

    def _find(self, repository: str, sha: str) -> Commit | None:
        return next((each for each in self.commits_of[repository] if each.sha == sha), None)

    def _line(self, repository: str, sha: str) -> Iterator[Commit]:
        """A commit and what it stands on, newest first."""
        while found := self._find(repository, sha):
            yield found
            sha = found.parent


def _name(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['repository']}".lower()


def _shown(commit: Commit) -> Body:
    return {
        "sha": commit.sha, "commit": {"author": {"name": commit.name}, "message": commit.message},
        "author": {"login": commit.login} if commit.login else None,
        "parents": [{"sha": commit.parent}] if commit.parent else [],
    }  # fmt: skip


def _wrong_deployment(body: Any) -> str:
    ref, environment = body.get("ref"), body.get("environment")
    if not isinstance(ref, str) or len(ref) != 40:  # GitHub takes branches too, but those move
        return "Invalid request: ref is not a full commit id"
    if not isinstance(environment, str) or not 0 < len(environment) <= ENVIRONMENT_LENGTH:
        return "Validation Failed: environment"
    return "Validation Failed: description" if len(body.get("description") or "") > LONGEST else ""


def _wrong_status(body: Any) -> str:
    if body.get("state") not in STATES:
        return "Validation Failed: state is not included in the list"
    if len(body.get("description") or "") > LONGEST:
        return "Validation Failed: description is too long (maximum is 140 characters)"
    for name in ("environment_url", "log_url"):
        if not body.get(name, "https://").startswith(("https://", "http://")):
            return f"Validation Failed: {name} must use http(s) scheme"
    return ""
