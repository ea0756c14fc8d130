"""What the daemon is, read from its own words. Only the disk is looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bot.engines import EngineFacts

_VARIANTS = {"aarch64": "/v8", "arm64": "/v8", "armv7l": "/v7", "armv6l": "/v6"}


def read(version: dict[str, Any], info: dict[str, Any], foreign: tuple[str, ...]) -> EngineFacts:
    """Facts out of Docker's /version and /info; storage is 0 when its folder is not to be seen here."""
    data_root = Path(info["DockerRootDir"])
    disk = shutil.disk_usage(data_root) if data_root.is_dir() else None
    return EngineFacts(
        version=version["Version"],
        api_version=version["ApiVersion"],
        platform=platform(version["Os"], version["Arch"], info["Architecture"]),
        storage_bytes_free=disk.free if disk else 0,
        storage_bytes_total=disk.total if disk else 0,
        is_live_restore=bool(info.get("LiveRestoreEnabled")),
        data_root=str(data_root),
        storage_driver=info.get("Driver", ""),
        foreign=foreign,
    )


def platform(os: str, architecture: str, machine: str) -> str:
    """As registries name it: `linux/arm64/v8`. `machine` is the kernel's name: `aarch64`, `armv7l`."""
    return f"{os}/{architecture}{_VARIANTS.get(machine, '')}"
