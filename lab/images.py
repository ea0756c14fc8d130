"""Small images made without any network: busybox alone, imported as one layer, in about a tenth of a second.

Each call makes another digest, so one tag can be pushed again and again.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import docker

# As process 1 a program gets no SIGTERM unless it asks for it, so the shell asks and ends everything.
WEB = (
    'mkdir -p /www; echo "${VERSION:-none}" > /www/index.html; echo "listening on ${PORT:-8080}"; '
    'httpd -p "${PORT:-8080}" -h /www; trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done'
)
MADE_HERE = f"lab.process={os.getpid()}"
_numbers = itertools.count()


class Image(NamedTuple):
    """An image in a registry, and on the daemon that pushed it."""

    image: str  # repository without tag
    tag: str
    digest: str


def busybox_image(
    host: str,
    image: str,
    tag: str = "1",
    *,
    script: str = WEB,
    environment: Mapping[str, str] = {},
    changes: Sequence[str] = (),
    account: tuple[str, str] = ("", ""),
    ballast: int = 0,
) -> Image:
    """Makes `image:tag` on the daemon at `host` and pushes it with `account` (name, password).

    `script` is what `sh -c` runs. `changes` are more Dockerfile lines (`USER 1000`, `HEALTHCHECK ...`).
    `ballast` adds so many random bytes, to make a pull last. Raises `RuntimeError` when the push fails.
    """
    unique = f"{os.getpid()}-{next(_numbers)}"
    lines = [
        f"CMD {json.dumps(['sh', '-c', script])}",
        f"LABEL {MADE_HERE} lab.unique={unique}",
        "ENV PATH=/bin",
        *changes,
    ]
    lines += [f"ENV {name}={json.dumps(value)}" for name, value in environment.items()]
    client = docker.APIClient(host)
    try:
        client.import_image_from_data(_root(ballast), repository=image, tag=tag, changes=lines)
        return Image(image, tag, push(client, image, tag, account))
    finally:
        client.close()


def at_address(client: docker.APIClient, network: str, address: str) -> Any:
    """docker-py's network settings for a container with a fixed address."""
    endpoint: Any = {network: client.create_endpoint_config(ipv4_address=address)}
    return client.create_networking_config(endpoint)


def forget(host: str, image: Image) -> None:
    """Removes the daemon's own copy, so that it must be pulled again."""
    client = docker.APIClient(host)
    for name in (f"{image.image}@{image.digest}", f"{image.image}:{image.tag}"):
        try:
            client.remove_image(name)
        except docker.errors.APIError as trouble:
            # Another test has removed the last other name of the same image at this moment, and so the image.
            if "unrecognized image ID" not in str(trouble):
                raise
    client.close()


def remove_all(host: str) -> None:
    """Removes every image that this process made on the daemon at `host`; none may be in use any more."""
    client = docker.APIClient(host)
    for image in client.images(all=True, quiet=True, filters={"label": MADE_HERE}):
        with suppress(docker.errors.NotFound):
            # Parents stay: another run beside this one may be building on them.
            client.remove_image(image, force=True, noprune=True)
    client.close()


def remove_repository(host: str, image: str) -> None:
    """Removes every image of the repository `image` on the daemon at `host`; none may be in use any more."""
    client = docker.APIClient(host)
    for found in {each["Id"] for each in client.images(name=image)}:
        with suppress(docker.errors.NotFound):
            client.remove_image(found, force=True, noprune=True)
    client.close()


def push(client: docker.APIClient, image: str, tag: str, account: tuple[str, str]) -> str:
    auth = {"username": account[0], "password": account[1]} if account[0] else {}
    for line in client.push(image, tag=tag, stream=True, decode=True, auth_config=auth):
        if "error" in line:
            raise RuntimeError(f"{image}:{tag} cannot be pushed: {line['error']}")
        if "Digest" in line.get("aux", {}):
            return str(line["aux"]["Digest"])
    raise RuntimeError(f"{image}:{tag} was pushed without a digest")


def _root(ballast: int) -> bytes:
    if not ballast:
        return _busybox()
    buffer = io.BytesIO(_busybox())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        _add(tar, "ballast", os.urandom(ballast), 0o644)
    return buffer.getvalue()


@cache
def _busybox() -> bytes:
    """A root file system with every command of busybox, as a tar file."""
    program = Path(shutil.which("busybox") or "/usr/bin/busybox")
    commands = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "bin/busybox", program.read_bytes(), 0o755)
        for name in sorted(set(commands) - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for folder in ("tmp", "www", "data"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
