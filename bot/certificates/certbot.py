"""certbot as o8 runs it: by file in a folder that nginx shows, or by a hook that writes into DNS for wildcards.

https://eff-certbot.readthedocs.io/en/stable/using.html
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bot import pem
from bot.errors import CertificateError
from bot.settings import SECRETS, Settings

LIMIT_S = 300.0  # DNS takes its time
OLDEST = (1, 12)  # Debian 11
_REASON = re.compile(r"^\s*(?:Detail|Error|Problem): (.+)$|^(?:An unexpected error occurred:\s*)(.+)$", re.MULTILINE)
_AT_FAULT = re.compile(r"^\s*Domain: (\S+)\s*\n\s*Type:\s", re.MULTILINE)
_VERSION = re.compile(r"^certbot (\d+)\.(\d+)", re.MULTILINE)
_BUSY = "Another instance of Certbot is already running"  # one that a killed o8 had begun
_INSTALL = "`apt-get install certbot`, or set CERTBOT_COMMAND."


async def issue(settings: Settings, service: str, names: Sequence[str], webroot: Path) -> None:
    """A certificate for `names`, new or renewed. Raises `CertificateError` with the authority's reason."""
    command = arguments(settings, service, names, webroot)
    folder = settings.certificates_dir
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(folder.chmod, 0o700)
        await asyncio.to_thread(_remove_remains, folder, service)
    except OSError as error:
        raise CertificateError(
            f"{error.filename} cannot be written: {error.strerror}.", "Check its owner and the room on the disk."
        ) from error
    code, output = await _run(command)
    if not code:
        return
    if "unrecognized arguments" in output:
        raise CertificateError(f"`{command[0]}` is too old for o8.", f"Install certbot {_dotted(OLDEST)} or newer.")
    raise CertificateError(
        f"There is no certificate for {', '.join(names)}: {reason(output).rstrip('.')}.",
        f"certbot's log is in {folder / 'logs'}.", names=at_fault(output, names), is_refusal=_BUSY not in output,
    )  # fmt: skip


async def version(settings: Settings) -> str:
    """Such as `2.1`; raises `CertificateError` when certbot is missing or too old. Takes about a second."""
    command = [*_program(settings), "--version"]
    _, output = await _run(command)
    found = _VERSION.search(output)
    if found is None:
        raise CertificateError(f"`{command[0]}` does not tell its version: {_last_line(output)}", _INSTALL)
    number = int(found[1]), int(found[2])
    if number < OLDEST:
        raise CertificateError(f"certbot {_dotted(number)} is too old.", f"Install {_dotted(OLDEST)} or newer.")
    return _dotted(number)


def needed(names: Sequence[str]) -> tuple[str, ...]:
    """Without those that a wildcard among them covers: authorities refuse both in one certificate."""
    return tuple(name for name in names if f"*.{name.partition('.')[2]}" not in names or name.startswith("*."))


def arguments(settings: Settings, service: str, names: Sequence[str], webroot: Path) -> list[str]:
    """The whole command. The names are checked by their grammar; nothing of it goes through a shell of o8's."""
    folder = settings.certificates_dir
    how = ["--webroot", "--webroot-path", str(webroot)]
    if wildcards := [name for name in names if name.startswith("*.")]:
        if not settings.tls_dns_hook:
            raise CertificateError(
                f"A certificate for {', '.join(wildcards)} is proven by DNS, and TLS_DNS_HOOK is not set.",
                "docs/tls.md says what the hook is given.", names=wildcards,
            )  # fmt: skip
        if shutil.which(settings.tls_dns_hook) is None:
            raise CertificateError(f"TLS_DNS_HOOK, {settings.tls_dns_hook}, is no program that o8 may run.",
                                   "`chmod +x` makes it one; an absolute path is best.", names=wildcards)  # fmt: skip
        hook = shlex.quote(settings.tls_dns_hook)
        how = ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", f"{hook} auth",
               "--manual-cleanup-hook", f"{hook} cleanup"]  # fmt: skip
    account = ["--email", settings.tls_email] if settings.tls_email else ["--register-unsafely-without-email"]
    return [
        *_program(settings), "certonly", "--non-interactive", "--agree-tos", *account, *how,
        "--cert-name", service, "--config-dir", str(folder), "--work-dir", str(folder / "work"),
        "--logs-dir", str(folder / "logs"), "--server", settings.acme_server,
        "--force-renewal", "--renew-with-new-domains",
        *(part for name in names for part in ("--domain", name)),
    ]  # fmt: skip


def reason(output: str) -> str:
    """What the authority said, out of all that certbot prints."""
    found = [detail or other for detail, other in _REASON.findall(output)]
    return (found[0] if found else _last_line(output))[:300]


def at_fault(output: str, names: Sequence[str]) -> list[str]:
    """The names that could not be proven, or that the authority's reason is about."""
    said = reason(output)
    return _AT_FAULT.findall(output) or [
        name for name in names if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said)
    ]


def _program(settings: Settings) -> list[str]:
    try:
        found = shlex.split(settings.certbot_command)
    except ValueError as error:
        raise CertificateError(f"CERTBOT_COMMAND cannot be read: {error}.", "Close every quote.") from None
    return found or ["certbot"]


def _remove_remains(folder: Path, service: str) -> None:
    """What a kill left of a first certificate: certbot would begin another one beside it, under another name."""
    try:
        if pem.read(folder, service):
            return
    except CertificateError as trouble:
        if trouble.is_transient:
            raise
        # It cannot be used, and certbot would not mend it.
    (folder / "renewal" / f"{service}.conf").unlink(missing_ok=True)
    for name in ("live", "archive"):
        shutil.rmtree(folder / name / service, ignore_errors=True)


async def _run(command: Sequence[str]) -> tuple[int, str]:
    """Exit code and all that was printed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise CertificateError(f"`{command[0]}` cannot be started: {error.strerror}.", _INSTALL) from None
    try:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise CertificateError(
            f"certbot did not end within {LIMIT_S:.0f} s.", "If it waits for TLS_DNS_HOOK, that has to end by itself.",
            is_refusal=True,
        ) from None  # fmt: skip
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the hook too
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


def _environment() -> dict[str, str]:
    """With what a DNS hook may need, without o8's secrets."""
    hidden = {*SECRETS, *(f"{name}_FILE" for name in SECRETS)}
    return {name: value for name, value in os.environ.items() if name not in hidden} | {"LC_ALL": "C.UTF-8"}


def _last_line(output: str) -> str:
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _dotted(number: tuple[int, int]) -> str:
    return ".".join(map(str, number))
