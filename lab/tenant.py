"""One service in a house: its images, its pushes, its containers and its visitors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import docker

from lab import github
from lab.app.image import app_image
from lab.house import LIVE, House
from lab.images import Image, busybox_image, forget
from lab.load import Load, Mix, Report, Target
from lab.registry import PASSWORD, USER

VISITORS = Mix(get=2, post=1, slow=0, fresh=1, websocket=0)
VISITS_PER_S = 60.0


class Container(NamedTuple):
    """One line of Docker's list."""

    id: str
    name: str
    state: str
    slot: str
    image: str
    deployment: int


class Tenant:
    """`name` is the service; its images are pushed to the house's registry and looked for at `image`."""

    def __init__(self, house: House, name: str, repository: str = "") -> None:
        self.house = house
        self.name = name
        self.host = f"{name}.test"
        self.repository = repository or f"acme/{name}"
        self.account = ("", "") if house.private else (USER, PASSWORD)
        self.image = f"{house.environ['DOCKER_SERVER_ADDRESS']}/{self.repository}"
        self._configuration: dict[str, Any] = {"image": self.image}

    async def apply(self, **changes: Any) -> dict[str, Any]:
        """Its configuration, with short times, as before but for `changes`; returns what the API answers."""
        self._configuration |= changes
        return dict(await self.house.apply(self.name, **self._configuration))

    async def make(self, tag: str, fault: str = "", version: str = "") -> Image:
        """The application with `fault`, in the registry alone: o8 has to pull it. It says `version`, or `tag`."""
        made = await asyncio.to_thread(
            app_image, self.house.engine_host, self.house.registry.image(self.repository), tag,
            version=version or tag, fault=fault, account=self.account,
        )  # fmt: skip
        return await self.only_in_registry(made)

    async def make_large(self, tag: str, size: int = 2_000_000) -> Image:
        """A web server with a layer of `size` bytes that no engine has seen, so that it really travels."""
        made = await asyncio.to_thread(
            busybox_image, self.house.engine_host, self.house.registry.image(self.repository), tag,
            ballast=size, account=self.account,
        )  # fmt: skip
        return await self.only_in_registry(made)

    async def only_in_registry(self, made: Image) -> Image:
        """Removes the engine's own copy; returns the image as o8 calls it."""
        await asyncio.to_thread(forget, self.house.engine_host, made)
        return made._replace(image=self.image)

    async def announce(self, image: Image, **more: Any) -> github.Answer:
        """GitHub's delivery for `image`; `more` as `lab.github.deliver` takes it."""
        body = github.push(image.image, image.tag, image.digest, more.get("event", "package"))
        return await self.deliver(body, **more)

    async def deliver(self, body: github.Body, **more: Any) -> github.Answer:
        url = f"http://127.0.0.1:{self.house.port}/webhooks/github"
        return await github.deliver(url, self.house.secret, body, **more)

    async def push(self, tag: str, fault: str = "") -> int:
        """Pushes and delivers; returns the id of the deployment that came of it."""
        return await self.accepted(await self.make(tag, fault))

    async def accepted(self, image: Image) -> int:
        answer = await self.announce(image)
        if answer.status != 202:
            raise RuntimeError(f"{image.tag} was not accepted: {answer}")
        return int((await self.newest())["id"])

    async def release(self, tag: str, fault: str = "") -> dict[str, Any]:
        """Pushes what has to go live. Returns the deployment once it serves; raises `RuntimeError` when it does not."""
        return await self.serves(await self.push(tag, fault))

    async def serves(self, deployment: int) -> dict[str, Any]:
        found = await self.house.is_live(deployment)
        if found["state"] not in LIVE:
            raise RuntimeError(f"{found['tag']} does not serve: {found['state']}, {found['error']}\n{found['log']}")
        return found

    async def newest(self) -> dict[str, Any]:
        return await self.house.newest(self.name)

    async def deployments(self) -> list[dict[str, Any]]:
        """Newest first."""
        return list(await self.house.get(f"/deployments?service={self.name}&limit=50"))

    async def shown(self) -> dict[str, Any]:
        return dict(await self.house.get(f"/services/{self.name}"))

    async def version(self) -> str:
        """Which release a fresh visitor gets, or the status when it is not 200."""
        status, text = await self.house.visit(self.host)
        return text.partition('"version": "')[2].partition('"')[0] if status == 200 else str(status)

    async def containers(self) -> list[Container]:
        return await asyncio.to_thread(self._containers)

    async def slot(self) -> str:
        """Where the release that serves is."""
        return str((await self.house.get(f"/deployments/{(await self.shown())['live']}"))["slot"])

    async def serving(self) -> list[Container]:
        """The containers that visitors reach."""
        slot = await self.slot()
        return [c for c in await self.containers() if c.slot == slot]

    async def variables(self) -> set[str]:
        """`NAME=value` of the containers that serve."""
        return {variable for found in await self.inspected() for variable in found["Config"]["Env"]}

    async def started_at(self) -> list[str]:
        """When the containers that serve were started."""
        return [str(found["State"]["StartedAt"]) for found in await self.inspected()]

    async def inspected(self) -> list[dict[str, Any]]:
        """`docker inspect` of the containers that serve."""
        client = docker.APIClient(self.house.engine_host)
        found = [client.inspect_container(c.id) for c in await self.serving()]
        client.close()
        return found

    async def by_hand(self, verb: str, **options: Any) -> None:
        """What somebody does to its running containers beside o8: `kill`, `stop`, `remove_container` of docker-py."""
        running = [c.id for c in await self.containers() if c.state == "running"]
        client = docker.APIClient(self.house.engine_host)
        for id in running:
            await asyncio.to_thread(getattr(client, verb), id, **options)
        client.close()

    def _containers(self) -> list[Container]:
        client = docker.APIClient(self.house.engine_host)
        found = client.containers(all=True, filters={"label": f"o8.service={self.name}"})
        client.close()
        return [_container(line) for line in found]

    @asynccontextmanager
    async def visitors(self, mix: Mix = VISITORS, rate: float = VISITS_PER_S) -> AsyncIterator[Report]:
        """Keep-alive and fresh visitors meanwhile; the report is complete after the block."""
        load = Load(Target("127.0.0.1", self.house.http_port, self.host), mix, rate=rate)
        load.start()
        try:
            yield load.report
        finally:
            await load.stop()


def _container(line: dict[str, Any]) -> Container:
    labels = line["Labels"]
    return Container(
        id=line["Id"], name=line["Names"][0].removeprefix("/"), state=line["State"], slot=labels["o8.slot"],
        image=line["Image"], deployment=int(labels["o8.deployment"]),
    )  # fmt: skip
