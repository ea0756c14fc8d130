"""certbot as o8 runs it: by file in a folder that nginx shows, or by a hook that writes into DNS for wildcards.

https://eff-certbot.readthedocs.io/en/stable/using.html
"""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bot.errors import CertificateError
from bot.settings import Settings

LIMIT_S = 300.0  # DNS takes its time
_REASON = re.compile(r"^\s*(?:Detail|Error|Problem): (.+)$|^(?:An unexpected error occurred:\s*)(.+)$", re.MULTILINE)


async def issue(settings: Settings, service: str, names: Sequence[str], webroot: Path) -> None:
    """A certificate for exactly `names`, new or renewed. Raises `CertificateError` with the authority's reason."""
    command = arguments(settings, service, names, webroot)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise CertificateError(
            f"`{command[0]}` cannot be started: {error.strerror}.", "`apt-get install certbot`, or set CERTBOT_COMMAND."
        ) from None
    try:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise CertificateError(f"certbot did not end within {LIMIT_S:.0f} s.", "Its log has more.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CertificateError(
            f"There is no certificate for {', '.join(names)}: {reason(output.decode(errors='replace'))}",
            f"Its log is in {settings.certificates_dir / 'logs'}.",
        )


def arguments(settings: Settings, service: str, names: Sequence[str], webroot: Path) -> list[str]:
    """The whole command. The names are checked by their grammar; nothing of it goes through a shell."""
    folder = settings.certificates_dir
    how = ["--webroot", "--webroot-path", str(webroot)]
    if any("*" in name for name in names):
        if not settings.tls_dns_hook:
            raise CertificateError(
                f"A certificate for {', '.join(names)} is proven by DNS, and TLS_DNS_HOOK is not set.",
                "docs/tls.md says what the hook is given.",
            )
        hook = shlex.quote(settings.tls_dns_hook)
        how = ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", f"{hook} auth",
               "--manual-cleanup-hook", f"{hook} cleanup"]  # fmt: skip
    account = ["--email", settings.tls_email] if settings.tls_email else ["--register-unsafely-without-email"]
    return [
        *shlex.split(settings.certbot_command), "certonly", "--non-interactive", "--agree-tos", *account, *how,
        "--cert-name", service, "--config-dir", str(folder), "--work-dir", str(folder / "work"),
        "--logs-dir", str(folder / "logs"), "--server", settings.acme_server,
        "--force-renewal", "--renew-with-new-domains",
        *(part for name in names for part in ("--domain", name)),
    ]  # fmt: skip


def reason(output: str) -> str:
    """What the authority said, out of all that certbot prints."""
    found = [detail or other for detail, other in _REASON.findall(output)]
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return (found[0] if found else lines[-1] if lines else "certbot said nothing")[:300]
