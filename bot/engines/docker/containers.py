"""The containers of one installation: found by their labels, made from the allow-list, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bot.addresses import replica_address
from bot.engines import Workload
from bot.engines.docker import allow
from bot.engines.docker.connection import Client, Connection, Refused
from bot.engines.docker.network import Network
from bot.errors import EngineError
from bot.models import Slot

T = TypeVar("T")
GONE_S, LOOK_S = 30.0, 0.05  # longest wait for a removal, pause between two looks
GONE = 404  # Docker's status; 409 is a conflict: a name taken, an image in use, a removal under way


class Container(NamedTuple):
    """One line of Docker's list."""

    id: str
    name: str
    state: str
    address: str  # the fixed one, empty when it has none

    @property
    def is_stopped(self) -> bool:
        return self.state in ("created", "exited", "dead")


class Containers:
    """All steps that touch containers; for each, a container that is gone is done."""

    def __init__(self, docker: Connection, network: Network, installation: str, volumes_dir: Path) -> None:
        self._docker = docker
        self._network = network
        self._installation = installation
        self._volumes_dir = volumes_dir

    async def find(self, service: str = "", slot: Slot | None = None) -> list[Container]:
        """Those of this installation; of one service and slot where given."""
        labels = allow.filters(self._installation, service, slot)
        found = await self._docker.call(
            "list containers", lambda client: client.containers(all=True, filters={"label": labels})
        )
        return [_container(line, self._network.name) for line in found]

    async def strangers(self) -> tuple[str, ...]:
        """Names like ours on containers that are not ours."""
        found = await self._docker.call(
            "list containers", lambda client: client.containers(all=True, filters={"name": "^/?o8-"})
        )
        return tuple(
            line["Names"][0].removeprefix("/")
            for line in found
            if line["Names"] and (line["Labels"] or {}).get(allow.INSTALLATION) != self._installation
        )

    async def foreign_images(self) -> dict[str, str]:
        """Name -> image, as it was asked for, of each container that is not ours."""
        found = await self._docker.call("list containers", lambda client: client.containers(all=True))
        images = await together(
            self._image_asked_for(line)
            for line in found
            if line["Names"] and (line["Labels"] or {}).get(allow.INSTALLATION) != self._installation
        )
        return dict(images)

    async def _image_asked_for(self, line: dict[str, Any]) -> tuple[str, str]:
        """The list has only the id of an image whose tag means another one by now."""
        name, image = line["Names"][0].removeprefix("/"), str(line["Image"])
        if image.startswith("sha256:"):
            whole = await self.unless_gone(f"look at {name}", lambda client: client.inspect_container(line["Id"]))
            image = str(whole["Config"]["Image"]) if whole else image
        return name, image

    async def inspect(self, container_id: str) -> dict[str, Any] | None:
        """All that Docker knows of one container; None when it is gone or not of this installation."""
        allow.replica_id(container_id)
        found: dict[str, Any] | None = await self.unless_gone(
            f"look at {container_id:.12}", lambda client: client.inspect_container(container_id)
        )
        labels = found["Config"].get("Labels") or {} if found else {}
        return found if labels.get(allow.INSTALLATION) == self._installation else None

    async def stats(self, container_id: str) -> dict[str, Any] | None:
        """What one container uses at this moment; None when it is gone.

        Docker answers with its next tick, of which there is one a second, so this must not hold a short thread.
        """
        allow.replica_id(container_id)
        return await self.unless_gone(
            f"measure {container_id:.12}",
            lambda client: client.stats(container_id, stream=False, one_shot=True),
            extra_s=1,
        )

    async def create(self, workload: Workload, index: int) -> None:
        """Creates replica `index` (from 0); raises `EngineError` when name is taken or image absent."""
        name = allow.container_name(workload.service, workload.slot, index)
        body = allow.container(
            workload,
            index,
            network=self._network.name,
            address=replica_address(self._network.subnet, workload.block, workload.slot, index),
            installation=self._installation,
            volumes_dir=self._volumes_dir,
        )
        try:
            await self._docker.call(
                f"create {name}",
                lambda client: client.create_container_from_config(body, name),  # type: ignore[no-untyped-call]
            )
        except Refused as error:
            if error.status == 409:
                raise EngineError(
                    f"Another container holds the name {name}, and this o8 did not make it.",
                    f"Rename it: `docker rename {name} ...`.",
                ) from error
            raise

    async def start(self, container: Container) -> None:
        """Starts a stopped container. Raises `EngineError`, naming the address when that is taken."""
        try:
            await self._docker.call(f"start {container.name}", lambda client: client.start(container.id))
        except Refused as error:
            if "address already in use" in error.sentence.lower():
                raise EngineError(
                    f"{container.name} cannot start: its address {container.address} is taken.",
                    f"`docker network inspect {self._network.name}` shows by whom; disconnect that one.",
                ) from error
            raise

    async def stop(self, container: Container, timeout_s: int) -> None:
        await self.unless_gone(
            f"stop {container.name}",
            lambda client: client.stop(container.id, timeout=timeout_s),
            extra_s=timeout_s,
        )

    async def set_restart(self, container: Container, restart: str) -> None:
        policy = allow.restart_policy(restart)
        await self.unless_gone(
            f"set the restart policy of {container.name}",
            lambda client: client.update_container(container.id, restart_policy=policy),  # type: ignore[arg-type]
        )

    async def remove(self, container: Container) -> None:
        """Removes it with its anonymous volumes, running or not, and waits until it is gone."""
        try:
            await self._docker.call(
                f"remove {container.name}",
                lambda client: client.remove_container(container.id, v=True, force=True),
            )
        except Refused as error:
            if error.status != GONE and "already in progress" not in error.sentence:
                raise
        deadline = asyncio.get_running_loop().time() + GONE_S
        while await self.inspect(container.id):
            if asyncio.get_running_loop().time() > deadline:
                raise EngineError(f"{container.name} is still there {GONE_S:g} s after its removal.")
            await asyncio.sleep(LOOK_S)

    async def unless_gone(
        self, doing: str, ask: Callable[[Client], T], *, also: int = GONE, extra_s: float = 0
    ) -> T | None:
        """What `ask` answers; None when Docker says that the object does not exist, or status `also`."""
        try:
            return await self._docker.call(doing, ask, extra_s=extra_s)
        except Refused as error:
            if error.status in (GONE, also):
                return None
            raise


async def together(steps: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs all `steps` at once to their ends, then raises the first error, if any: none is left half done."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _container(line: dict[str, Any], network: str) -> Container:
    place = (line["NetworkSettings"].get("Networks") or {}).get(network) or {}
    return Container(
        id=line["Id"],
        name=line["Names"][0].removeprefix("/"),
        state=line["State"],
        address=(place.get("IPAMConfig") or {}).get("IPv4Address", ""),
    )
