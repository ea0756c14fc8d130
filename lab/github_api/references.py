"""Git references of repositories. https://docs.github.com/en/rest/git/refs"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from lab.github_api.server import Part, refusal


class References(Part):
    """`commits` and `references` are those of every repository."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: set[str] = set()
        self.references: dict[str, str] = {}
        self.may_write_contents = True

    def routes(self) -> Sequence[web.RouteDef]:
        return [*super().routes(), web.post("/repos/{owner}/{repository}/git/refs", self._create_reference)]

    async def _create_reference(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/git/refs#create-a-reference"""
        if not self.may_write_contents:
            return refusal(403, "Resource not accessible by integration")
        body = await request.json()
        name, commit = body["ref"], body["sha"]
        if not name.startswith("refs/") or name.count("/") < 2:
            return refusal(422, "Reference name must start with 'refs/' and have at least two slashes")
        if commit not in self.commits:
            return refusal(422, "Object does not exist")
        if name in self.references:
            return refusal(422, "Reference already exists")
        self.references[name] = commit
        return web.json_response({"ref": name, "object": {"type": "commit", "sha": commit}}, status=201)
