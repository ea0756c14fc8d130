"""What o8 may say to Docker: names that pass a grammar, and containers made of an allow-list. Pure.

To allow one more thing: a line in `container` and its property in tests/engines/test_allow.py.
Every key: https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerCreate
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.configuration import Configuration, ImageName, ServiceName
from bot.engines import Workload
from bot.errors import InvalidInput
from bot.models import SLOTS, Slot

SERVICE, SLOT, DEPLOYMENT = "o8.service", "o8.slot", "o8.deployment"
REPLICA, PORT, INSTALLATION = "o8.replica", "o8.port", "o8.installation"
RESTARTS = ("no", "on-failure", "always", "unless-stopped")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{12,64}")
_INSTALLATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
_service_name = TypeAdapter[str](ServiceName)
_image_name = TypeAdapter[str](ImageName)


def replica_id(value: str) -> str:
    """`value` when it is a container id. Raises `InvalidInput`: `../images/x` was seen to delete an image."""
    return _checked(value, bool(_ID.fullmatch(value)), "an id of a container")


def installation_name(value: str) -> str:
    return _checked(value, bool(_INSTALLATION.fullmatch(value)), "a name of an installation")


def restart_policy(value: str) -> dict[str, str]:
    """Docker's restart policy for a service file's `restart`. Raises `InvalidInput`."""
    return {"Name": _checked(value, value in RESTARTS, f"a restart policy ({', '.join(RESTARTS)})")}


def reference(image: str, digest: str) -> str:
    """`image@sha256:...`. Raises `InvalidInput` for anything that is not a repository and a digest."""
    _checked(image, _passes(_image_name, image), "an image (a repository without tag, lower case)")
    return f"{image}@{_checked(digest, bool(_DIGEST.fullmatch(digest)), 'a digest (sha256:...)')}"


def filters(installation: str, service: str = "", slot: Slot | None = None) -> list[str]:
    """Label filters that match the replicas of one installation, and of one service and slot where given."""
    labels = [f"{INSTALLATION}={installation}", SERVICE, SLOT, DEPLOYMENT, REPLICA, PORT]  # these must exist
    if service:
        labels.append(f"{SERVICE}={_service(service)}")
    if slot:
        labels.append(f"{SLOT}={_checked(slot, slot in SLOTS, 'a slot (a or b)')}")
    return labels


def container_name(service: str, slot: Slot, index: int) -> str:
    """Name of replica `index` (from 0): `o8-web-a-1` is the first."""
    return f"o8-{_service(service)}-{_checked(slot, slot in SLOTS, 'a slot (a or b)')}-{index + 1}"


def volume_folder(volumes_dir: Path, service: str, name: str) -> Path:
    """Where a service's volume lives: the only places of the machine that a container ever sees."""
    return volumes_dir / _service(service) / name


def container(
    workload: Workload,
    index: int,
    *,
    network: str,
    address: IPv4Address,
    installation: str,
    volumes_dir: Path,
) -> dict[str, Any]:
    """The request that creates replica `index` (from 0) of `workload`: restarts off, no published port.

    Raises `InvalidInput` when a name, the digest or an environment variable does not pass its grammar.
    """
    configuration = workload.configuration
    body: dict[str, Any] = {
        "Image": reference(workload.image, workload.digest),
        "Env": [_variable(name, value) for name, value in workload.environment.items()],
        "Labels": _labels(workload, index, installation),
        "StopTimeout": configuration.stop_timeout,
        "HostConfig": _host(configuration, network) | {"Mounts": _mounts(configuration, workload.service, volumes_dir)},
        "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": str(address)}}}},
    }
    if configuration.command:
        body["Cmd"] = list(configuration.command)
    return body


def _host(configuration: Configuration, network: str) -> dict[str, Any]:
    limits = configuration.limits
    memory = _bytes(limits.memory)
    return {
        "NetworkMode": network,
        # A candidate that exits must be seen to exit; `settle` sets the real policy once it serves.
        "RestartPolicy": restart_policy("no"),
        "Memory": memory,
        "MemorySwap": memory,  # both equal: no swap
        "NanoCpus": round(limits.cpus * 1_000_000_000),
        "PidsLimit": limits.pids,
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": limits.log_size, "max-file": str(limits.log_files)},
        },
    }


def _mounts(configuration: Configuration, service: str, volumes_dir: Path) -> list[dict[str, str]]:
    return [
        {
            "Type": "bind",
            "Source": str(volume_folder(volumes_dir, service, volume.name)),
            "Target": volume.path,
        }
        for volume in configuration.volumes
    ]


def _labels(workload: Workload, index: int, installation: str) -> dict[str, str]:
    return {
        SERVICE: _service(workload.service),
        SLOT: workload.slot,
        DEPLOYMENT: str(workload.deployment),
        REPLICA: str(index + 1),
        PORT: str(workload.configuration.port),
        INSTALLATION: installation,
    }


def _variable(name: str, value: str) -> str:
    if not _VARIABLE.fullmatch(name) or "\0" in value:  # the value stays out of the message: it may be a secret
        raise InvalidInput(f"{name!r:.80} is not a usable environment variable.", "Letters, digits and _ only.")
    return f"{name}={value}"


def _service(value: str) -> str:
    return _checked(value, _passes(_service_name, value), "a name of a service")


def _passes(grammar: TypeAdapter[str], value: str) -> bool:
    try:
        grammar.validate_python(value)
    except ValidationError:
        return False
    return True


def _checked(value: str, is_good: bool, what: str) -> str:
    if not is_good:
        raise InvalidInput(f"{value!r:.100} is not {what}.")
    return value


def _bytes(size: str) -> int:
    """`512m` in bytes, units as Docker counts them."""
    return int(size[:-1]) * _UNITS[size[-1]] if size[-1] in _UNITS else int(size)
