"""Deployments of repositories and their statuses. https://docs.github.com/en/rest/deployments"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from lab.github_api.server import Part


class Deployments(Part):
    """Nothing yet."""

    def routes(self) -> Sequence[web.RouteDef]:
        return super().routes()
