"""Makes images of the web application without any network, from this machine's own Python.

Debian's `python3` with its standard library is imported once as a base image; an image of the application
adds its source, its version and its fault in less than a second, and shares all layers with its sisters.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

import lab
from lab.app.faults import read_fault
from lab.images import MADE_HERE, Image, push

PYTHON = Path("/usr/bin/python3")
BASE = "o8-lab-python"
SOURCES = ("__init__", "app/__init__", "app/faults", "app/frames", "app/messages", "app/server")

# A build begins with the layers of one before, which Docker removes together with the last image on them: another
# test, or o8 itself, may do that at this moment.
_TAKEN_AWAY = ("failed to get digest", "unknown parent image ID", "No such image")
TRIES = 4

# What a small server never imports, and what would bring large libraries along.
_LEFT_OUT = re.compile(
    r"/(config-[^/]*|test|idlelib|ensurepip|lib2to3|distutils|tkinter|turtledemo|pydoc_data|unittest|site-packages"
    r"|dist-packages)/|/lib-dynload/(_ssl|_hashlib|_sqlite3|_ctypes|_curses|_dbm|_gdbm|_tkinter|readline|nis|_test)"
)
_LIBRARY = re.compile(r"(/\S+) \(0x")  # `ldd` prints "libm.so.6 => /lib/.../libm.so.6 (0x7f...)"


def app_image(
    host: str, image: str, tag: str, *, version: str, fault: str = "", account: tuple[str, str] = ("", "")
) -> Image:
    """Makes `image:tag` on the daemon at `host` and pushes it with `account` (name, password).

    It listens on 8080. Within one process the same `version` and `fault` make the same image.
    Raises `ValueError` for an unknown fault and `RuntimeError` when making or pushing fails.
    """
    read_fault(fault)
    client = docker.APIClient(host, timeout=120)
    try:
        base = _base(client)
        for attempt in range(1, TRIES + 1):
            try:
                _build(client, base, f"{image}:{tag}", version, fault)
                break
            except RuntimeError as trouble:
                if attempt == TRIES or not any(words in str(trouble) for words in _TAKEN_AWAY):
                    raise
        return Image(image, tag, push(client, image, tag, account))
    finally:
        client.close()


def _build(client: docker.APIClient, base: str, name: str, version: str, fault: str) -> None:
    lines = (
        f"FROM {base}",
        "WORKDIR /app",
        "COPY lab /app/lab",
        "EXPOSE 8080",
        'CMD ["/usr/bin/python3", "-S", "-m", "lab.app.server"]',
        f"ENV VERSION={json.dumps(version)} FAULT={json.dumps(fault)}",
        f"LABEL {MADE_HERE} org.opencontainers.image.version={json.dumps(version)}",
    )
    context = _context({"Dockerfile": "\n".join(lines).encode(), **_sources()})
    for line in client.build(fileobj=context, custom_context=True, tag=name, rm=True, decode=True):
        if "error" in line:
            raise RuntimeError(f"{name} cannot be made: {line['error']}")


def _sources() -> dict[str, bytes]:
    """The application's own modules; the image's Python finds them as it would here."""
    root = Path(lab.__file__).parent
    return {f"lab/{name}.py": (root / f"{name}.py").read_bytes() for name in SOURCES}


def _base(client: docker.APIClient) -> str:
    """Name of the base image on this daemon; imported when it is not there, or when Python has changed."""
    files = sorted({*_python_files(), *_libraries()})
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    tag = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    if not client.images(f"{BASE}:{tag}"):
        client.import_image_from_data(_root(files), repository=BASE, tag=tag)
    return f"{BASE}:{tag}"


def _python_files() -> Iterator[Path]:
    yield PYTHON
    library = Path(_output(str(PYTHON), "-Ic", "import os; print(os.path.dirname(os.__file__))").strip())
    for path in library.rglob("*"):
        if path.is_file() and not _LEFT_OUT.search(str(path)):
            yield path


def _libraries() -> Iterator[Path]:
    """Shared libraries that the interpreter and its own modules are linked with."""
    modules = (str(path) for path in _python_files() if path.suffix == ".so")
    for found in _LIBRARY.findall(_output("ldd", str(PYTHON), *modules)):
        yield Path(found)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _root(files: list[Path]) -> bytes:
    """A root file system. Times are kept: by them Python knows that its compiled modules are fresh."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for path in files:
            archive.add(path)
    return buffer.getvalue()


def _context(files: dict[str, bytes]) -> io.BytesIO:
    """A build's context. Without times, so that the daemon sees the same sources as the same."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer
