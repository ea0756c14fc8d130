"""Pushes images made of raw bytes through a registry's HTTP API, without Docker.

with open_registry() as registry:
    digest = push(registry, "acme/web", "0001", platforms=("linux/amd64", "linux/arm64"))
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import requests

from lab.registry import LabRegistry

_TIMEOUT_S = 15


class Types(NamedTuple):
    """Media types of the documents of an image."""

    of_index: str
    of_manifest: str
    of_config: str
    of_layer: str


OCI = Types(
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER = Types(
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


def push(
    registry: LabRegistry,
    repository: str,
    tag: str,
    *,
    platforms: Sequence[str] = ("linux/amd64",),
    files: Mapping[str, bytes] = {"hello": b"hello\n"},
    config: Mapping[str, Any] = {},
    created: str = "2026-03-01T12:00:00.123456789Z",
    as_index: bool = False,
    attested: bool = False,
    types: Types = OCI,
) -> str:
    """Pushes an image that Docker can pull; returns the digest that `tag` then has.

    One platform makes a plain manifest, several (or `as_index`) an index. `files` is its one layer (path ->
    bytes, all executable), `config` the image's settings (`Cmd`, `Labels`, ...). `attested` adds to the index
    what BuildKit's provenance adds.
    """
    layer = _layer(files)
    packed = gzip.compress(layer, mtime=0)
    built: list[tuple[dict[str, str], bytes]] = []
    for platform in platforms:
        where = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        about = {"config": dict(config), "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]}}
        image = {**where, "created": created, **about}
        built.append((where, manifest(registry, repository, image, [packed], types=types)))
    if attested:
        where = {"os": "unknown", "architecture": "unknown"}
        built.append((where, manifest(registry, repository, where, [b"{}"], types=types)))
    if len(built) == 1 and not as_index:
        return put_manifest(registry, repository, tag, types.of_manifest, built[0][1])
    entries = []
    for where, body in built:
        digest = put_manifest(registry, repository, "", types.of_manifest, body)
        entries.append({**_descriptor(types.of_manifest, body, digest), "platform": where})
    index = {"schemaVersion": 2, "mediaType": types.of_index, "manifests": entries}
    return put_manifest(registry, repository, tag, types.of_index, json.dumps(index).encode())


def manifest(
    registry: LabRegistry,
    repository: str,
    config: Mapping[str, Any],
    layers: Sequence[bytes],
    *,
    types: Types = OCI,
) -> bytes:
    """The text of a manifest, not yet pushed, whose `config` and `layers` (as they travel) are pushed."""

    def pushed(kind: str, data: bytes) -> dict[str, Any]:
        return _descriptor(kind, data, put_blob(registry, repository, data))

    document = {
        "schemaVersion": 2,
        "mediaType": types.of_manifest,
        "config": pushed(types.of_config, json.dumps(config).encode()),
        "layers": [pushed(types.of_layer, data) for data in layers],
    }
    return json.dumps(document).encode()


def put_blob(registry: LabRegistry, repository: str, data: bytes) -> str:
    """Pushes one blob; returns its digest."""
    url = f"http://{registry.address}/v2/{repository}/blobs/uploads/"
    headers = registry.authorization(repository)
    started = requests.post(url, headers=headers, timeout=_TIMEOUT_S)
    started.raise_for_status()
    digest = _digest(data)
    requests.put(
        started.headers["Location"], params={"digest": digest}, data=data, headers=headers, timeout=_TIMEOUT_S
    ).raise_for_status()
    return digest


def put_manifest(registry: LabRegistry, repository: str, tag: str, kind: str, body: bytes) -> str:
    """Pushes a manifest or index of media type `kind` as `tag` (by digest when empty); returns its digest."""
    requests.put(
        f"http://{registry.address}/v2/{repository}/manifests/{tag or _digest(body)}",
        data=body,
        headers={"Content-Type": kind, **registry.authorization(repository)},
        timeout=_TIMEOUT_S,
    ).raise_for_status()
    return _digest(body)


def _layer(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _descriptor(kind: str, data: bytes, digest: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
