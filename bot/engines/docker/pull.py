"""Fetching an image by digest: Docker's stream of lines, what its errors mean, and room on the disk."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

from bot.engines import Credentials, Progress
from bot.engines.docker.allow import reference
from bot.engines.docker.connection import Connection, Refused
from bot.errors import (
    AccessDenied,
    DiskFull,
    ImageNotFound,
    O8Error,
    PullFailed,
    RegistryUnavailable,
    WrongCredentials,
    WrongPlatform,
)

QUIET_S = 60.0  # without a line for so long, a pull has stalled
LOOK_S = 0.2  # how often `is_cancelled` is asked while nothing comes
MB = 1_000_000

# First match wins: "pull access denied for x, repository does not exist or ..." is about access.
_MEANINGS: tuple[tuple[type[O8Error], str, tuple[str, ...]], ...] = (
    (DiskFull, "Free some space: `docker system df` shows what takes it.", ("no space left on device",)),
    (
        RegistryUnavailable,
        "The registry limits how often it may be asked; try again later.",
        ("toomanyrequests", "too many requests", "http 429"),
    ),
    (
        WrongCredentials,
        "Check DOCKER_USERNAME and DOCKER_PASSWORD.",
        ("unauthorized", "no basic auth credentials", "incorrect username or password", "http 401"),
    ),
    (
        AccessDenied,
        "Give the account read access to the package (`read:packages`).",
        ("denied", "forbidden", "http 403"),
    ),
    (
        WrongPlatform,
        "Build the image for this machine too: `docker buildx build --platform ...`.",
        ("no matching manifest", "does not match the specified platform", "cannot be used on this platform"),
    ),
    (
        ImageNotFound,
        "Check that this digest was pushed and not deleted.",
        ("manifest unknown", "not found", "name unknown", "does not exist"),
    ),
    (
        RegistryUnavailable,
        "Try again later; check that this machine reaches the registry.",
        (
            "connection refused", "no such host", "no route to host", "i/o timeout", "client.timeout",
            "tls handshake", "server misbehaving", "unexpected http status: 5",
            "service unavailable", "bad gateway", "internal server error",
        ),
    ),
)  # fmt: skip
_CUT = ("eof", "connection reset", "broken pipe", "context deadline exceeded")


class Room(NamedTuple):
    """With no more than either of these free, a pull is not begun."""

    share: float = 0.05  # of the whole file system
    size: int = 500 * MB  # bytes


ROOM = Room()


class LayerSum:
    """Sums what Docker tells of each layer into bytes done and bytes known so far."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def add(self, line: dict[str, Any]) -> bool:
        """Takes one line of the stream; true when the sum changed."""
        layer, status = str(line.get("id", "")), line.get("status")
        detail = line.get("progressDetail") or {}
        before = self._layers.get(layer, (0, 0))
        if status == "Downloading" and "total" in detail:
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status in ("Download complete", "Pull complete") and layer in self._layers:
            self._layers[layer] = (before[1], before[1])
        return self._layers.get(layer, (0, 0)) != before

    @property
    def total(self) -> tuple[int, int]:
        return sum(done for done, _ in self._layers.values()), sum(known for _, known in self._layers.values())


async def fetch(
    docker: Connection,
    image: str,
    digest: str,
    credentials: Credentials,
    progress: Progress,
    is_cancelled: Callable[[], bool],
    *,
    quiet_s: float = QUIET_S,
) -> None:
    """Pulls `image@digest`; `progress` and `is_cancelled` are called in the event loop.

    Raises `PullFailed` (transient when cut off or silent for `quiet_s`; not when cancelled), `DiskFull`,
    `EngineUnavailable`, and the `RegistryError` that Docker's sentence means.
    """
    layers = LayerSum()
    try:
        async with aclosing(_lines(docker, image, digest, credentials, quiet_s)) as lines:
            while line := await _next(lines, is_cancelled, quiet_s):
                problem = line.get("error") or (line.get("errorDetail") or {}).get("message")
                if problem:
                    raise failure(image, digest, str(problem))
                if layers.add(line):
                    progress(*layers.total)
    except Refused as error:
        raise failure(image, digest, error.sentence) from error


def check_room(data_root: Path, room: Room) -> None:
    """Raises `DiskFull` when the disk of Docker's data is nearly full; a disk not to be seen here passes."""
    if not data_root.is_dir():
        return
    disk = shutil.disk_usage(data_root)
    needed = max(room.size, int(disk.total * room.share))
    if disk.free <= needed:
        raise DiskFull(
            f"{disk.free // MB} MB are free for Docker's images; o8 pulls nothing with {needed // MB} MB or less.",
            "Free some space: `docker system df` shows what takes it.",
        )


def failure(image: str, digest: str, sentence: str) -> O8Error:
    """What Docker's `sentence` about a pull means."""
    text = sentence.replace(digest, "").replace(image, "").lower()  # a name may hold any of the words below
    message = f"{reference(image, digest)} could not be pulled: {sentence.strip().rstrip('.')}."
    for error, next_step, fragments in _MEANINGS:
        if any(fragment in text for fragment in fragments):
            return error(message, next_step)
    return PullFailed(message, is_transient=any(fragment in text for fragment in _CUT))


async def _lines(
    docker: Connection, image: str, digest: str, credentials: Credentials, quiet_s: float
) -> AsyncGenerator[dict[str, Any], None]:
    async with docker.stream(
        f"pull {reference(image, digest)}",
        "/images/create",
        method="POST",
        params={"fromImage": image, "tag": digest},
        credentials=credentials,
        begin_s=quiet_s + 1,
    ) as stream:
        async for line in stream.objects():
            yield line


async def _next(
    lines: AsyncIterator[dict[str, Any]], is_cancelled: Callable[[], bool], quiet_s: float
) -> dict[str, Any] | None:
    """The next line, None at the end. Raises `PullFailed` when cancelled, or when none comes in time."""
    coming = asyncio.ensure_future(anext(lines, None))
    try:
        for _ in range(math.ceil(quiet_s / LOOK_S)):
            if is_cancelled():
                raise PullFailed("The pull was cancelled.")
            if (await asyncio.wait({coming}, timeout=LOOK_S))[0]:
                return coming.result()
        raise PullFailed(f"The pull stalled: nothing came for {quiet_s:g} s.", "Try again.", is_transient=True)
    finally:
        coming.cancel()
        await asyncio.wait({coming})  # the stream is closed when it has ended
