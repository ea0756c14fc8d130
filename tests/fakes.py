"""Stand-ins for what is outside o8: one for each edge, in memory. What is inside is always real in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.configuration import Configuration
from bot.engines import Change, Credentials, EngineFacts, Progress, Replica, Usage, Workload
from bot.errors import DiskFull, EngineError, ImageNotFound, O8Error
from bot.models import Address, Slot
from bot.nginx import NginxFacts
from bot.registry import Resolved
from bot.registry.manifests import Config


class FakeEngine:
    """An `Engine` whose replicas all "answer" on 127.0.0.1 at the configured port."""

    def __init__(self) -> None:
        self.replicas: dict[tuple[str, Slot], list[Replica]] = {}
        self.lines: list[bytes] = [b"first line\n", b"second line\n"]
        self.may_pull = asyncio.Event()  # a test holds a deployment in `pulling` by clearing it
        self.may_pull.set()
        self.begin = datetime.now(UTC)  # when the first line was written
        self.news = asyncio.Event()
        self.log_breaks = False
        self.open_logs = 0
        self.used: dict[str, Usage] = {}  # by replica; one that runs and is not named has used nothing
        self.trouble: O8Error | None = None  # what every question about what runs is answered with
        self.images: dict[tuple[str, str], int] = {}  # what is here, and its size
        self.in_use: set[tuple[str, str]] = set()  # images of containers that are not ours
        self.room_for: int | None = None  # so many images more can be pulled
        self.disk = (10**12, 10**12)  # bytes free, and of all
        self.data_root = "/"
        self.foreign: dict[str, str] = {}  # containers that are not ours, and their images
        self._listeners: list[asyncio.Queue[Change]] = []

    def addresses(self, block: int, slot: Slot, replicas: int, port: int) -> tuple[Address, ...]:
        return (Address("127.0.0.1", port),) * replicas

    async def pull(
        self, image: str, digest: str, credentials: Credentials, progress: Progress, is_cancelled: Callable[[], bool]
    ) -> None:
        progress(5_000_000, 40_000_000)
        while not is_cancelled() and not self.may_pull.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        if self.room_for is not None and self.room_for <= 0:
            raise DiskFull("0 MB are free for Docker's images.", "Free some space.")
        if self.room_for is not None:
            self.room_for -= 1
        if self.may_pull.is_set():
            self.images[image, digest] = 40_000_000

    async def has_image(self, image: str, digest: str) -> bool:
        return (image, digest) in self.images

    async def image_size(self, image: str, digest: str) -> int | None:
        return self.images.get((image, digest))

    async def start(self, workload: Workload) -> None:
        self.replicas[workload.service, workload.slot] = [
            Replica(
                id=f"{workload.service}-{workload.slot}-{index}", name=f"o8-{workload.service}-{workload.slot}-{index}",
                service=workload.service, slot=workload.slot, index=index, deployment=workload.deployment,
                address=Address("127.0.0.1", workload.configuration.port), state="running", health="none", exit_code=0,
                is_oom_killed=False, restarts=0, started_at=datetime.now(UTC),
            )
            for index in range(workload.configuration.replicas)
        ]  # fmt: skip
        self.tell(workload.service, "start")

    async def resume(self, service: str, slot: Slot) -> None:
        self._set(service, slot, "running")
        self.tell(service, "start")

    async def settle(self, service: str, slot: Slot, restart: str) -> None:
        pass

    async def stop(self, service: str, slot: Slot, timeout_s: int) -> None:
        self._set(service, slot, "exited")
        self.tell(service, "die")

    async def clear(self, service: str, slot: Slot) -> None:
        self.replicas.pop((service, slot), None)
        self.tell(service, "destroy")

    async def observe(self, service: str = "") -> tuple[Replica, ...]:
        if self.trouble:
            raise self.trouble
        return tuple(r for group in self.replicas.values() for r in group if service in ("", r.service))

    async def log(
        self, replica: str, *, tail: int | None, since: datetime | None, follow: bool, timestamps: bool
    ) -> AsyncGenerator[bytes, None]:
        self.open_logs += 1
        place = 0 if tail is None else max(len(self.lines) - tail, 0)
        try:
            while True:
                news = self.news
                for number, line in enumerate(self.lines[place:], place):
                    at = self.begin + timedelta(milliseconds=number)
                    if since is None or at >= since:
                        yield at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() + line if timestamps else line
                    place = number + 1
                if self.log_breaks:
                    raise EngineError("Docker ended the log.", "Look again.")
                if not follow or not self._is_running(replica):
                    return
                await news.wait()
        finally:
            self.open_logs -= 1

    def say(self, *lines: bytes) -> None:
        """Every replica writes more lines, a millisecond apart."""
        self.lines += lines
        self._wake()

    async def usage(self, replica: str) -> Usage | None:
        if self.trouble:
            raise self.trouble
        is_running = any(r.id == replica and r.state == "running" for group in self.replicas.values() for r in group)
        return self.used.get(replica, Usage(0, 0, 0)) if is_running else None

    async def foreign_images(self) -> dict[str, str]:
        return dict(self.foreign)

    async def changes(self) -> AsyncIterator[Change]:
        told: asyncio.Queue[Change] = asyncio.Queue()
        self._listeners.append(told)
        try:
            yield Change("", "connected")
            while True:
                yield await told.get()
        finally:
            self._listeners.remove(told)

    def tell(self, service: str, what: str) -> None:
        """To all who listen for changes; without a service: the connection was made anew."""
        for told in self._listeners:
            told.put_nowait(Change(service, what))

    async def remove_image(self, image: str, digest: str) -> bool:
        if (image, digest) in self.in_use:
            return False
        if self.images.pop((image, digest), None) and self.room_for is not None:
            self.room_for += 1
        return True

    async def facts(self) -> EngineFacts:
        return EngineFacts(
            version="0", api_version="0", platform="linux/amd64", storage_bytes_free=self.disk[0],
            storage_bytes_total=self.disk[1], is_live_restore=True, data_root=self.data_root,
        )  # fmt: skip

    async def close(self) -> None:
        pass

    def _wake(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()

    def _is_running(self, replica: str) -> bool:
        return any(r.id == replica and r.state == "running" for group in self.replicas.values() for r in group)

    def _set(self, service: str, slot: Slot, state: str) -> None:
        found = self.replicas.get((service, slot), [])
        self.replicas[service, slot] = [replica.model_copy(update={"state": state}) for replica in found]
        self._wake()


class FakeNginx:
    """`bot.nginx.Nginx` as far as deployments use it."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.slots: dict[str, Slot] = {}
        self.in_maintenance: set[str] = set()
        self.reloads = 0
        self.is_down = False
        self.acme_folder = Path("/nowhere/acme")

    async def is_answering(self) -> bool:
        return not self.is_down

    def render(self, configuration: Configuration, addresses: Mapping[Slot, Sequence[Address]]) -> str:
        return f"{configuration.model_dump_json()} {sorted(addresses.items())}"

    async def publish(self, service: str, text: str) -> bool:
        is_new = self.texts.get(service) != text
        self.texts[service] = text
        self.reloads += is_new
        return is_new

    async def withdraw(self, service: str) -> None:
        self.texts.pop(service, None)
        self.slots.pop(service, None)

    def site(self, service: str) -> str | None:
        return self.texts.get(service)

    async def facts(self) -> NginxFacts:
        return NginxFacts(
            mode="embedded", version="1.22.1", is_running=True, test_output="ok", is_included=True,
            can_stat_slots=True, worker_shutdown_timeout="30s", generation=1,
        )  # fmt: skip

    def serving(self, service: str) -> Slot:
        return self.slots.get(service, "a")

    async def point(self, service: str, slot: Slot) -> None:
        self.slots[service] = slot

    async def maintenance(self, service: str, on: bool) -> None:
        (self.in_maintenance.add if on else self.in_maintenance.discard)(service)


class FakeRegistry:
    """`bot.registry.Registry` with the tags a test put in."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}  # tag -> digest
        self.abouts: dict[str, Config] = {}  # digest -> what the image says about itself
        self.lags = False  # what is missing may still come
        self.looks = 0

    def push(self, tag: str) -> str:
        self.found[tag] = "sha256:" + f"{len(self.found) + 1:064x}"
        return self.found[tag]

    async def tags(self, image: str) -> list[str]:
        return list(self.found)

    async def resolve(self, image: str, reference: str) -> Resolved:
        self.looks += 1
        if reference not in self.found:
            error = ImageNotFound(f"{image} has no tag {reference}.", "Push it first.")
            error.is_transient = self.lags
            raise error
        return Resolved(self.found[reference], "", self.found[reference], 40_000_000)

    async def about(self, image: str, digest: str) -> Config:
        return self.abouts.get(digest, Config(os="linux", architecture="amd64"))

    async def created(self, image: str, digest: str) -> datetime | None:
        return (await self.about(image, digest)).created

    async def check_login(self) -> None:
        pass
