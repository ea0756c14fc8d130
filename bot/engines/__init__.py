"""What o8 asks of whatever runs containers. To add an engine: these verbs, one line in `bot/app.py`.

A release is a set of addresses, perhaps on other machines. Switching, probing and draining speak of addresses
only; nothing above this protocol knows of containers. `tests/engines/contract.py` is run against every engine.
Every verb raises `EngineUnavailable` when the engine does not answer in time, and is safe to repeat.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from bot.configuration import Configuration
from bot.models import Address, Slot

Progress = Callable[[int, int], None]  # bytes done, bytes known so far


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Credentials(NamedTuple):
    """For the registry at `server`; an empty `username` means anonymous."""

    server: str
    username: str
    password: str


class Workload(_Frozen):
    """Everything needed to bring one slot up. `block` fixes its addresses (`bot.addresses`)."""

    service: str
    block: int
    slot: Slot
    deployment: int
    image: str  # repository without tag
    digest: str
    configuration: Configuration
    environment: dict[str, str]


class Replica(_Frozen):
    """One running or stopped copy, as the engine sees it now."""

    id: str
    name: str
    service: str
    slot: Slot
    index: int
    deployment: int
    address: Address | None  # None when it has none or another than planned
    state: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    health: Literal["none", "starting", "healthy", "unhealthy"]
    exit_code: int
    is_oom_killed: bool
    restarts: int
    started_at: datetime | None


class Change(NamedTuple):
    """Something happened to a replica of `service`: `die`, `oom`, `destroy`, `start`, `health_status`...

    `service` is empty when the connection to the engine was (re)made: look at everything.
    """

    service: str
    what: str


class Usage(NamedTuple):
    """What a replica has used since it began, and holds now. `memory_limit` 0: none is known.

    `memory_bytes` 0: this machine does not count memory.
    """

    cpu_seconds: float
    memory_bytes: int
    memory_limit: int


class EngineFacts(_Frozen):
    """For `o8 doctor` and /readyz."""

    version: str
    api_version: str
    platform: str  # "linux/amd64", "linux/arm64/v8"
    storage_bytes_free: int
    storage_bytes_total: int
    is_live_restore: bool
    data_root: str
    storage_driver: str = ""  # empty when the engine has none
    foreign: tuple[str, ...] | None = None  # names `o8-...` of containers that are not ours; None: not looked


class Engine(Protocol):
    def addresses(self, block: int, slot: Slot, replicas: int, port: int) -> tuple[Address, ...]:
        """Where the replicas of a slot will answer; known before they exist, so that nginx can name both slots."""

    async def pull(
        self, image: str, digest: str, credentials: Credentials, progress: Progress, is_cancelled: Callable[[], bool]
    ) -> None:
        """Makes `image@digest` available here; nothing to do when it is. `progress` is called from a thread.

        Raises `PullFailed`, `DiskFull` and the `RegistryError`s.
        """

    async def has_image(self, image: str, digest: str) -> bool:
        """Whether `image@digest` can be started without the network."""

    async def image_size(self, image: str, digest: str) -> int | None:
        """Bytes of `image@digest` on the disk, layers that it shares with others included; None when it is not here."""

    async def start(self, workload: Workload) -> None:
        """Clears the slot, creates the replicas at `addresses` and starts them, with restarts off.

        Raises `EngineError`.
        """

    async def resume(self, service: str, slot: Slot) -> None:
        """Starts the stopped replicas of a slot again."""

    async def settle(self, service: str, slot: Slot, restart: str) -> None:
        """Sets the restart policy of the replicas: as configured for the slot that serves, `no` for the other."""

    async def stop(self, service: str, slot: Slot, timeout_s: int) -> None:
        """SIGTERM, then SIGKILL after `timeout_s` seconds. The replicas stay, stopped."""

    async def clear(self, service: str, slot: Slot) -> None:
        """Removes the replicas of a slot, running or not."""

    async def observe(self, service: str = "") -> tuple[Replica, ...]:
        """What is there of `service` (all services when empty), made by this installation of o8."""

    async def usage(self, replica: str) -> Usage | None:
        """What a replica uses, by id; None when it does not run, or the engine has no figures."""

    async def foreign_images(self) -> dict[str, str]:
        """Image of each container that is not ours, by the container's name: what an import takes over."""

    def log(
        self, replica: str, *, tail: int | None, since: datetime | None, follow: bool, timestamps: bool
    ) -> AsyncGenerator[bytes, None]:
        """Lines of one replica by id, stdout and stderr as they came, without the engine's framing."""

    def changes(self) -> AsyncIterator[Change]:
        """Endless; survives restarts of the engine."""

    async def remove_image(self, image: str, digest: str) -> bool:
        """Frees the disk of an image that no release needs. False when it stays, because a container uses it."""

    async def facts(self) -> EngineFacts:
        """What the engine is and how much room it has."""

    async def close(self) -> None:
        """Ends the engine's threads and connections."""
