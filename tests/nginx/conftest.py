"""A real nginx in both ways of running it, two services' worth of backends, and a client that names any host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from yarl import URL

from bot.configuration import Configuration, read
from bot.models import Slot
from bot.nginx import Nginx
from bot.settings import Settings
from lab.backends import Backend, backend
from lab.ports import free_port
from lab.system_nginx import SystemNginx, system_nginx


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case
    text: str
    json: dict[str, Any]


class Front:
    """One nginx with o8's hands on it. `others` is the folder of foreign files, where there is one."""

    def __init__(self, settings: Settings, client: aiohttp.ClientSession, system: SystemNginx | None) -> None:
        self.settings = settings
        self.nginx = Nginx(settings)
        self.system = system
        self.port = settings.nginx_http_port
        self.client = client
        self.home = system.home if system else settings.o8_data_dir / "nginx"

    def as_set(self, **settings: Any) -> Front:
        """The same nginx with other settings of o8."""
        return Front(self.settings.model_copy(update=settings), self.client, self.system)

    async def ask(self, host: str, path: str = "/", *, method: str = "GET", port: int = 0, **more: Any) -> Answer:
        """On a fresh connection."""
        headers = {"Host": host, **more.pop("headers", {})}
        url = URL(f"http://127.0.0.1:{port or self.port}{path}", encoded=True)
        async with self.client.request(method, url, headers=headers, allow_redirects=False, **more) as answer:
            text = await answer.text()
            content = await answer.json() if answer.content_type == "application/json" else {}
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, text, content)

    async def publish(self, slots: dict[Slot, list[Backend]], **values: Any) -> bool:
        return await self.nginx.publish(values.get("name", "web"), self.text(slots, **values))

    def text(self, slots: dict[Slot, list[Backend]], **values: Any) -> str:
        addresses = {slot: [found.address for found in backends] for slot, backends in slots.items()}
        return self.nginx.render(configuration(**values), addresses)

    def reloads(self) -> int:
        return (self.home / "error.log").read_text().count("signal 1 (SIGHUP) received")

    def pid(self) -> int:
        return int((self.home / "nginx.pid").read_text())


def configuration(**values: Any) -> Configuration:
    return read({"name": "web", "image": "ghcr.io/acme/web", "port": 80, "domains": ["web.test"]} | values)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """For embedded mode."""
    return Settings(
        o8_data_dir=tmp_path / "data", nginx_mode="embedded", nginx_listen="127.0.0.1",
        nginx_http_port=free_port(), nginx_https_port=free_port(), base_domain="apps.test",
    )  # fmt: skip


@pytest.fixture
async def embedded(settings: Settings, client: aiohttp.ClientSession) -> AsyncIterator[Front]:
    front = Front(settings, client, None)
    await front.nginx.start()
    yield front
    await front.nginx.shut_down()


@pytest.fixture
def administered(tmp_path: Path) -> Iterator[SystemNginx]:
    with system_nginx(tmp_path / "system") as found:
        yield found


@pytest.fixture
async def system(administered: SystemNginx, client: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[Front]:
    front = Front(Settings(o8_data_dir=tmp_path / "data", **administered.settings()), client, administered)
    await front.nginx.start()
    yield front


@pytest.fixture(params=["embedded", "system"])
def front(request: pytest.FixtureRequest) -> Front:
    """Each way of running nginx in turn."""
    found: Front = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def backends() -> AsyncIterator[tuple[Backend, Backend]]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(backend("one")), await stack.enter_async_context(backend("two"))
