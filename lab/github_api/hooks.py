"""Webhooks and their deliveries, which are really sent. https://docs.github.com/en/rest/orgs/webhooks"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from lab.github_api.server import Part


class Hooks(Part):
    """Nothing yet."""

    def routes(self) -> Sequence[web.RouteDef]:
        return super().routes()
