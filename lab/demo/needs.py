"""What the demo needs of this machine, and what to do about each thing that is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.app.image import PYTHON
from lab.engine import DEFAULT_HOST, answers

PACKAGES = {"nginx": "nginx-light", "docker-registry": "docker-registry", "ldd": "libc-bin"}


def missing() -> list[str]:
    """One sentence for each thing that is missing; empty when the demo can begin."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = [
        f"{program} is not installed: apt-get install {package}"
        for program, package in PACKAGES.items()
        if not shutil.which(program, path=path)
    ]
    if not PYTHON.exists():
        found.append(f"{PYTHON} is not there, of which the demo's images are made: apt-get install python3")
    return found + _missing_engine()


def _missing_engine() -> list[str]:
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    if answers(host):
        return []
    socket = Path(host.removeprefix("unix://"))
    if socket.exists() and not os.access(socket, os.W_OK):
        return [f"You may not use Docker at {socket}: run the demo with sudo, or join the group `docker`"]
    if os.geteuid() != 0:
        return [f"No Docker answers at {host}, and only root can start it: systemctl start docker, or use sudo"]
    if not shutil.which("dockerd"):
        return [f"No Docker answers at {host}, and dockerd is not installed: apt-get install docker.io"]
    return []
