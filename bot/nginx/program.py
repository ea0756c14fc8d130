"""Runs commands with a limit, and reads what nginx says about a configuration."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from bot.errors import NginxError

LIMIT_S = 10.0
_EMERGENCY = re.compile(r"\[emerg\] (?:\d+#\d+: )?(.+?)(?: in (/[^\s:]+):(\d+))?$", re.MULTILINE)
_CONFLICT = re.compile(r'conflicting server name "([^"]+)"')
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # not in everybody's PATH


class Verdict(NamedTuple):
    """What `nginx -t` found: nginx's own sentence and, where it names one, the place."""

    is_ok: bool
    sentence: str = ""
    file: str = ""
    line: int = 0
    conflicts: frozenset[str] = frozenset()  # host names that more than one site asks for: one is ignored

    def __str__(self) -> str:
        return f"{self.sentence} ({self.file}:{self.line})" if self.file else self.sentence


class Outcome(NamedTuple):
    code: int
    output: str  # stdout and stderr

    @property
    def verdict(self) -> Verdict:
        conflicts = frozenset(_CONFLICT.findall(self.output))
        if self.code == 0:
            return Verdict(True, conflicts=conflicts)
        if found := _EMERGENCY.search(self.output):
            return Verdict(False, found[1], found[2] or "", int(found[3] or 0), conflicts)
        lines = self.output.strip().splitlines()
        return Verdict(False, lines[-1] if lines else f"it ended with status {self.code}", conflicts=conflicts)


def emergencies(log: str) -> list[str]:
    """nginx's reasons for not doing what it was told, oldest first."""
    return [found[0] for found in _EMERGENCY.findall(log)]


def advice(sentence: str) -> str:
    """What to do about an emergency; empty when nginx's sentence says it all."""
    if "Address already in use" in sentence:
        return "Another program uses this port: end it, or choose another host_port or NGINX_HTTP_PORT."
    if "bind()" in sentence and "Permission denied" in sentence:
        return "Choose ports above 1023, or let everybody use low ones: sysctl net.ipv4.ip_unprivileged_port_start=80."
    return ""


async def run(*command: str) -> Outcome:
    """Raises `NginxError` when `command` cannot be started or does not end within `LIMIT_S`."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise NginxError(f"`{command[0]}` cannot be started: {error.strerror}.", _INSTALL) from error
    try:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise NginxError(f"`{' '.join(command)}` did not end within {LIMIT_S:g} seconds.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, output.decode(errors="replace"))


async def ask(socket: Path, word: str) -> Outcome:
    """What root's unit at `socket` did for `test`, `dump` or `reload`; raises `NginxError` when it gives no answer."""
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(f"{word}\n".encode())
                await writer.drain()
                answer = await reader.read(-1)
            finally:
                writer.close()
    except TimeoutError:
        raise NginxError(f"{socket} did not answer `{word}` within {LIMIT_S:g} seconds.", _SOCKET) from None
    except OSError as error:
        raise NginxError(f"{socket} cannot be asked: {error.strerror or error}.", _SOCKET) from error
    output, _, status = answer.decode(errors="replace").rpartition("status ")
    if not status.strip().isdecimal():
        raise NginxError(f"{socket} broke off while it did `{word}`.", _SOCKET)
    return Outcome(int(status), output)


def find(binary: str) -> str:
    """Path of the nginx program; raises `NginxError` when there is none."""
    found = shutil.which(binary, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_FOLDERS}")
    if found is None:
        raise NginxError(f"The nginx program {binary!r} was not found.", _INSTALL)
    return found


@lru_cache
def version(path: str) -> tuple[int, ...]:
    """Such as (1, 22, 1); raises `NginxError`. Takes some milliseconds, once."""
    try:
        answer = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NginxError(f"{path} does not tell its version: {error}.") from error
    found = re.search(r"/(\d+)\.(\d+)\.(\d+)", answer.stderr + answer.stdout)
    if found is None:
        raise NginxError(f"{path} does not tell its version: {answer.stderr.strip()!r}.")
    return tuple(int(part) for part in found.groups())


def _environment() -> dict[str, str]:
    """Without o8's own variables: they hold secrets, and nginx would keep them for as long as it runs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "LOGNAME") if name in os.environ}
    return kept | {"LC_ALL": "C"}  # its sentences are read here


_SOCKET = "`systemctl status orchestr8-nginx.socket` and `journalctl -u 'orchestr8-nginx@*'` say more."
_INSTALL = "Install nginx (`apt-get install nginx-light`), or set NGINX_BINARY."
