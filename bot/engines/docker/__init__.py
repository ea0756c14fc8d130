"""One Docker daemon as an `Engine`. Which containers are ours is said by their labels, and nothing else.

`allow` says what may be created, `containers` and `network` touch Docker's objects, `pull` fetches images,
`streams` listens, `connection` speaks docker-py.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path

from bot.addresses import replica_address
from bot.engines import Change, Credentials, EngineFacts, Progress, Replica, Usage, Workload
from bot.engines.docker import allow, facts, pull, replicas, streams, usage
from bot.engines.docker.connection import Connection
from bot.engines.docker.containers import Containers, together
from bot.engines.docker.lines import LogLines
from bot.engines.docker.network import Network
from bot.engines.docker.volumes import make_folders
from bot.errors import EngineError, NotFound, PullFailed
from bot.models import Address, Slot

MAX_LOGS = 32  # read at the same time; the other long threads stay free for pulls and stops
IN_USE = 409
REMOVE_S = 120.0  # a large image, on top of the patience for other answers


class DockerEngine:
    """The daemon at `host`. `installation` tells our containers from those of another o8 on the same machine.

    `patience_s`: longest wait for any answer. `room`: free disk below which nothing is pulled.
    """

    def __init__(
        self,
        *,
        host: str,
        network: str,
        subnet: IPv4Network,
        installation: str,
        volumes_dir: Path,
        patience_s: float = 30,
        room: pull.Room = pull.ROOM,
    ) -> None:
        self._installation = allow.installation_name(installation)
        self._volumes_dir = volumes_dir.absolute()
        self._room = room
        self._docker = Connection(host, patience_s)
        self._network = Network(self._docker, network, subnet, installation)
        self._containers = Containers(self._docker, self._network, installation, self._volumes_dir)
        self._logs = 0
        self._data_root: Path | None = None  # does not change while a daemon is the same

    def addresses(self, block: int, slot: Slot, replicas: int, port: int) -> tuple[Address, ...]:
        subnet = self._network.subnet
        return tuple(Address(str(replica_address(subnet, block, slot, n)), port) for n in range(replicas))

    async def pull(
        self,
        image: str,
        digest: str,
        credentials: Credentials,
        progress: Progress,
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Calls both callables in the event loop; a cancelled pull raises `PullFailed`."""
        if await self.has_image(image, digest):
            return
        data_root = self._data_root = self._data_root or Path((await self.facts()).data_root)
        await self._docker.run(lambda: pull.check_room(data_root, self._room))
        await pull.fetch(self._docker, image, digest, credentials, progress, is_cancelled)
        if not await self.has_image(image, digest):  # a corrupt layer was seen to "succeed"
            raise PullFailed(f"Docker reported success, but {allow.reference(image, digest)} is not there.")

    async def has_image(self, image: str, digest: str) -> bool:
        return await self.image_size(image, digest) is not None

    async def image_size(self, image: str, digest: str) -> int | None:
        name = allow.reference(image, digest)
        found = await self._containers.unless_gone(
            f"look at {name}",
            lambda client: client.inspect_image(name),  # type: ignore[no-untyped-call]
        )
        return int(found["Size"]) if found is not None else None

    async def remove_image(self, image: str, digest: str) -> bool:
        name = allow.reference(image, digest)
        await self._containers.unless_gone(
            f"remove {name}", lambda client: client.remove_image(name), also=IN_USE, extra_s=REMOVE_S
        )
        return not await self.has_image(image, digest)

    async def start(self, workload: Workload) -> None:
        await self.clear(workload.service, workload.slot)
        await self._docker.run(lambda: make_folders(self._volumes_dir, workload.service, workload.configuration))
        await self._network.ensure()
        await together(self._containers.create(workload, n) for n in range(workload.configuration.replicas))
        await self.resume(workload.service, workload.slot)

    async def resume(self, service: str, slot: Slot) -> None:
        await together(self._containers.start(c) for c in await self._containers.find(service, slot) if c.is_stopped)

    async def settle(self, service: str, slot: Slot, restart: str) -> None:
        await together(self._containers.set_restart(c, restart) for c in await self._containers.find(service, slot))

    async def stop(self, service: str, slot: Slot, timeout_s: int) -> None:
        await together(
            self._containers.stop(c, timeout_s) for c in await self._containers.find(service, slot) if not c.is_stopped
        )

    async def clear(self, service: str, slot: Slot) -> None:
        await together(self._containers.remove(c) for c in await self._containers.find(service, slot))

    async def observe(self, service: str = "") -> tuple[Replica, ...]:
        found = await together(self._containers.inspect(c.id) for c in await self._containers.find(service))
        seen = [replicas.read(one, self._network.name) for one in found if one]
        return tuple(sorted(seen, key=lambda replica: (replica.service, replica.slot, replica.index)))

    async def usage(self, replica: str) -> Usage | None:
        found = await self._containers.stats(replica)
        return usage.read(found) if found else None

    async def foreign_images(self) -> dict[str, str]:
        return await self._containers.foreign_images()

    async def log(
        self, replica: str, *, tail: int | None, since: datetime | None, follow: bool, timestamps: bool
    ) -> AsyncGenerator[bytes, None]:
        """See `Engine`: lines without line ends, those of over 1 MiB in parts; ends when the container ends.

        Raises `NotFound` when the replica is gone or not ours, `EngineError` when 32 others are being read.
        """
        if self._logs >= MAX_LOGS:
            raise EngineError(f"{MAX_LOGS} logs are being read already.", "Close one of them.")
        self._logs += 1
        try:
            found = await self._containers.inspect(replica)
            if not found:
                raise NotFound(f"There is no container {replica:.12} of o8's.", "It may have been replaced meanwhile.")
            lines = LogLines(is_tty=found["Config"]["Tty"], has_timestamps=timestamps)
            told = streams.log(
                self._docker, replica, lines, tail=tail, since=since, follow=follow, timestamps=timestamps
            )
            async with aclosing(told):
                async for line in told:
                    yield line
        finally:
            self._logs -= 1

    async def changes(self) -> AsyncGenerator[Change, None]:
        async with aclosing(streams.changes(self._docker, self._installation)) as told:
            async for change in told:
                yield change

    async def facts(self) -> EngineFacts:
        version = await self._docker.call("tell its version", lambda client: client.version())
        info = await self._docker.call("describe itself", lambda client: client.info())
        strangers = await self._containers.strangers()
        return await self._docker.run(lambda: facts.read(version, info, strangers))

    async def close(self) -> None:
        self._docker.close()
