"""One walk through the command line with a real Docker Engine, registry and nginx under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lab.house import House, house
from lab.tenant import Tenant
from tests.cli.conftest import start_o8

pytestmark = pytest.mark.parts


@pytest.fixture
async def home(engine_host: str) -> AsyncIterator[House]:
    async with house() as home:
        yield await home.start()


async def o8(home: House, *arguments: str, code: int = 0) -> str:
    """What a command printed, after it ended with `code`."""
    environ = {"O8_DATA_DIR": str(home.data)}
    process = await start_o8(*arguments, folder=home.folder, environ=environ)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, (output, errors, home.log()[-3000:])
    return output.decode() + errors.decode()


async def test_a_service_from_its_file_to_its_end(home: House) -> None:
    web = Tenant(home, "web")
    for tag in ("0001", "0002"):
        await web.make(tag)
    file = home.folder / "web.toml"
    file.write_text(
        f'name = "web"\nimage = "{home.registry.image("acme/web")}"\nport = 8080\ndomains = ["web.test"]\nwatch = 1\n'
    )
    assert "web is added" in await o8(home, "service", "apply", str(file))
    told = await o8(home, "deploy", "web", "0001", "--wait")
    assert [line for line in told.splitlines() if "pulling" in line] and "web 0001 is live." in told
    assert "0001" in (await home.visit("web.test"))[1]
    assert "web 0002 is live" in await o8(home, "deploy", "web")
    assert "web 0001 is live" in await o8(home, "rollback", "web")
    assert "hold: rollback to 0001" in await o8(home, "status")
    assert "web 0001 is live" in await o8(home, "env", "set", "web", "COLOUR=blue")
    assert "has no release" in await o8(home, "rollback", "web", "9999", code=3)
    assert await o8(home, "logs", "web", "-n", "5") is not None
    assert "is stopped" in await o8(home, "stop", "web", "--yes")
    assert (await home.visit("web.test"))[0] == 503
    assert "web 0001 is live" in await o8(home, "start", "web")
    assert (await home.visit("web.test"))[0] == 200
    assert "The audit is whole." in await o8(home, "audit", "verify")
    assert "Docker" in await o8(home, "doctor", "--json", code=await doctors_code(home))
    assert "web is removed" in await o8(home, "service", "remove", "web", "--yes")


async def doctors_code(home: House) -> int:
    """What the machine itself deserves; not every one that runs tests is in good order."""
    return int(any(finding["state"] == "fault" for finding in await home.get("/doctor")))
