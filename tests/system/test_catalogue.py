"""The catalogue in a whole o8: read at its start, and known after a kill without asking for it again."""

from __future__ import annotations

import pytest

from lab.github_api import TOKEN, fake_github
from lab.house import house

pytestmark = pytest.mark.parts


async def test_what_github_lists_is_available_and_outlives_a_kill() -> None:
    with fake_github() as api:
        api.publish("acme", "web", "0001")
        api.publish("acme", "web", "0002", children=2)
        async with house(GITHUB_API_URL=api.url, GITHUB_PAT=TOKEN, GITHUB_OWNERS="acme") as home:

            async def tags() -> list[str]:
                found = await home.get("/packages")
                return [each["tag"] for each in found["packages"]] if found["looked_at"] else []

            await home.start()
            assert await home.until(tags, 30) == ["0002"]
            findings = {each["subject"]: each for each in await home.get("/doctor")}
            assert findings["GitHub"]["state"] == "ok"
            assert "requests are left" in findings["GitHub"]["message"]
            home.kill()
            api.asked.clear()
            await home.start()
            assert await home.until(tags, 30) == ["0002"]
            assert [asked for asked in api.asked if asked.startswith(("GET /users/acme", "GET /orgs/acme"))] == [
                "GET /orgs/acme/packages?package_type=container&per_page=100"
            ]
            assert TOKEN not in home.log()
