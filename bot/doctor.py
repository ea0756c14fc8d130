"""Looks at everything o8 stands on and says what to do about what is wrong: `o8 doctor`.

To add a check: a method here that yields findings, and a line in `Doctor.check`; what facts mean is in `bot.findings`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from bot import clock, findings, routes
from bot.certificates import Standings, certbot
from bot.engines import Engine
from bot.errors import O8Error, RegistryUnavailable
from bot.findings import Finding
from bot.nginx import Nginx, NginxFacts
from bot.notifiers import Notifier
from bot.passwords import SHORTEST
from bot.registry import Registry
from bot.registry.transport import base_url
from bot.settings import Settings
from bot.store import Store

__all__ = ["Doctor", "Finding"]

LIMIT_S = 10.0  # of each check
READY_S = 2.0
Check = Callable[[], AsyncIterator[Finding]]
_log = logging.getLogger(__name__)


class Doctor:
    """Changes nothing, and needs nothing to be well: every part that does not answer becomes a finding."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, nginx: Nginx, registry: Registry,
                 notifier: Notifier | None = None, github: Notifier | None = None,
                 missed: Callable[[], Finding] | None = None, access: Check | None = None) -> None:  # fmt: skip
        """`notifier`: of Slack; `github`: who tells GitHub what runs; `missed`: what becomes of missed deliveries.

        `access`: whether GitHub lets o8 in.
        """
        self._settings = settings
        self._store = store
        self._engine = engine
        self._nginx = nginx
        self._registry = registry
        self._notifier = notifier
        self._missed = missed
        self._standings = Standings(settings, store)
        self._github = github
        self._access = access

    async def check(self) -> tuple[Finding, ...]:
        """Every finding, in this order; takes `LIMIT_S` seconds at most. Never raises."""
        checks: dict[str, Check] = {
            "Docker": self._check_engine,
            "other o8": self._check_strangers,
            "network": self._check_network,
            "nginx": self._check_nginx,
            "registry": self._check_registry,
            "webhook": self._check_webhook,
            "login": self._check_login,
            **({"GitHub": self._access} if self._access else {}),
            "missed deliveries": self._check_missed,
            "Slack": self._check_slack,
            "certificates": self._check_certificates,
            "GitHub's deployments": self._check_deployments,
            "data folder": self._check_folder,
            "database": self._check_database,
            "audit": self._check_audit,
            "clock": self._check_clock,
        }
        found = await asyncio.gather(*(_findings(subject, check) for subject, check in checks.items()))
        return tuple(finding for several in found for finding in several)

    async def readiness(self) -> dict[str, str]:
        """Why each part that o8 cannot work without, and Slack, is not there; empty where it is."""
        parts = {"database": self._store.service_names(), "docker": self._engine.facts(), "nginx": self._nginx_runs()}
        found = await asyncio.gather(*map(_in_time, parts.values()), return_exceptions=True)
        said = {name: _why(answer) for name, answer in zip(parts, found, strict=True)}
        return said | {"slack": self._notifier.trouble() if self._notifier else ""}

    async def _nginx_runs(self) -> None:
        if not await self._nginx.is_answering():  # `facts` would run nginx three times
            raise O8Error("nginx does not run.")

    async def _check_engine(self) -> AsyncIterator[Finding]:
        for finding in findings.of_engine(await self._engine.facts()):
            yield finding

    async def _check_strangers(self) -> AsyncIterator[Finding]:
        services = frozenset(service.name for service in await self._store.services())
        foreign = (await self._engine.facts()).foreign
        if foreign is not None:
            yield findings.of_strangers(foreign, services)

    async def _check_slack(self) -> AsyncIterator[Finding]:
        if self._notifier is None:
            yield findings.ok("Slack", "Off: SLACK_BOT_TOKEN is not set.")
        elif trouble := self._notifier.trouble():
            yield findings.warning("Slack", trouble, "docs/slack.md says how to set Slack up.")
        else:
            yield findings.ok("Slack", f"Cards go to {self._settings.slack_channel}.")

    async def _check_deployments(self) -> AsyncIterator[Finding]:
        if self._github and await self._store.remembered("github_since"):
            refusals = await self._store.refusals()
            said = [f"{each.service} in {each.repository}: {each.reason}" for each in refusals]
            yield findings.of_deployments(self._github.trouble(), said)

    async def _check_network(self) -> AsyncIterator[Finding]:
        subnet = self._settings.o8_subnet
        try:
            known = routes.read(await asyncio.to_thread(routes.TABLE.read_text))
        except OSError:
            yield findings.warning("network", f"Not checked: {routes.TABLE} cannot be read.", "Compare `ip route`.")
            return
        yield findings.of_routes(subnet, routes.clashes(known, subnet))

    async def _check_nginx(self) -> AsyncIterator[Finding]:
        for finding in self.of_nginx(await self._nginx.facts()):
            yield finding

    def of_nginx(self, facts: NginxFacts) -> Iterator[Finding]:
        """What `facts` mean with these settings."""
        if not facts.is_running:
            yield findings.fault("nginx", f"nginx ({facts.mode}) does not run, so no site is served.", self._start_it())
            if facts.mode == "embedded":
                return  # it is started with a configuration of o8's own making
        elif facts.generation is None:
            yield findings.fault("nginx", f"nginx {facts.version} runs, but serves no site of o8.", self._reload_it())
        else:
            yield findings.ok("nginx", f"nginx {facts.version} ({facts.mode}) serves generation {facts.generation}.")
        yield from self._of_configuration(facts)
        yield findings.of_shutdown_timeout(facts.worker_shutdown_timeout)
        if facts.mode == "embedded" and os.geteuid() == 0:
            yield findings.warning(
                "nginx user", "nginx runs as root, because o8 does.",
                "Run o8 as a user of its own: examples/orchestr8.service shows how.",
            )  # fmt: skip

    def _of_configuration(self, facts: NginxFacts) -> Iterator[Finding]:
        folder = self._settings.nginx_managed_dir
        if facts.test_output != "ok":
            yield findings.fault("nginx configuration", f"`nginx -t` says: {facts.test_output}",
                                 "Correct the file it names; until then no site can be added or changed.")  # fmt: skip
        if facts.mode == "system" and not facts.is_included:
            yield findings.fault(
                "nginx include", f"nginx.conf does not include {folder}, so no site there is served.",
                f"Put `include {folder}/*.conf;` into `http` of /etc/nginx/nginx.conf, then `{self._reload_it()}`.",
            )  # fmt: skip
        elif facts.generation is not None and not facts.can_stat_slots:
            slots = folder / "slots" if facts.mode == "system" else self._settings.o8_data_dir
            yield findings.fault(
                "nginx slots", "nginx's workers cannot see the flags, so every service stays in slot a.",
                f"`namei -l {slots}` shows which folder needs `sudo chmod o+x`.",
            )  # fmt: skip

    def _start_it(self) -> str:
        if self._nginx.mode == "system":
            return "`sudo systemctl start nginx`; `systemctl status nginx` says why it ended."
        return f"Restart o8, which starts it; {self._settings.o8_data_dir}/nginx/ has its error log."

    def _reload_it(self) -> str:
        if self._nginx.mode == "system" and self._settings.nginx_socket:
            return "sudo nginx -t && sudo systemctl reload nginx"
        if self._nginx.mode == "system":
            return f"{self._settings.nginx_test_command} && {self._settings.nginx_reload_command}"
        return "Restart o8, which loads it anew."

    async def _check_registry(self) -> AsyncIterator[Finding]:
        host, user = self._settings.docker_server_address, self._settings.docker_username
        try:
            await self._registry.check_login()
        except RegistryUnavailable as failure:
            yield findings.fault("registry", f"{failure.message} Nothing new can be deployed.", failure.next_step)
            return
        if user:
            yield findings.ok("registry", f"{host} knows {user}.")
        elif self._settings.registry_password:
            yield findings.warning("registry", f"GITHUB_PAT is set, but {host} is asked without it: it has no user.",
                                   "Set DOCKER_USERNAME to the name of the token's owner.")  # fmt: skip
        else:
            yield findings.ok("registry", f"{host} answers; without credentials only public images are deployed.")

    async def _check_login(self) -> AsyncIterator[Finding]:
        settings = self._settings
        yield findings.of_password(settings.auth_password.get_secret_value(), settings.auth_username, SHORTEST)

    async def _check_webhook(self) -> AsyncIterator[Finding]:
        if number := len(self._settings.webhook_secrets):
            yield findings.ok("webhook", f"Deliveries are checked with {number} secret{'s' if number > 1 else ''}.")
        else:
            yield findings.warning(
                "webhook", "No secret is set, so the endpoint is off and pushes are only found by polling."
                + (" Nothing of GITHUB_AUTO_INSTALL installs itself." if self._settings.auto_install_owners else ""),
                "`openssl rand -hex 32` makes one: set it as GITHUB_WEBHOOK_SECRET here and at GitHub's webhook.",
            )  # fmt: skip

    async def _check_certificates(self) -> AsyncIterator[Finding]:
        standings = await self._standings.all()
        for standing in standings:
            yield findings.of_certificate(standing, self._settings.nginx_snippet)
        if any(standing.source == "auto" for standing in standings):
            yield findings.ok("certbot", f"certbot {await certbot.version(self._settings)} gets certificates.")

    async def _check_missed(self) -> AsyncIterator[Finding]:
        if self._missed:
            yield self._missed()

    async def _check_folder(self) -> AsyncIterator[Finding]:
        folder = self._settings.o8_data_dir
        status = await asyncio.to_thread(folder.stat)
        yield findings.of_folder(folder, status.st_mode, status.st_uid, os.geteuid())
        disk = await asyncio.to_thread(shutil.disk_usage, folder)
        yield findings.of_room("data disk", str(folder), disk.free, disk.total, f"`du -xh {folder} | sort -h | tail`.")
        try:
            await asyncio.to_thread(lambda: tempfile.TemporaryFile(dir=folder).close())
        except OSError as failure:
            yield findings.fault("data folder", f"Nothing can be written to {folder}: {failure.strerror}.",
                                 f"`findmnt -T {folder}` shows how it is mounted.")  # fmt: skip

    async def _check_database(self) -> AsyncIterator[Finding]:
        if damage := await self._store.damage():
            yield findings.fault(
                "database", f"It is damaged: {'; '.join(damage)}.",
                f"Stop o8, keep a copy of {self._settings.database}, and put the last backup in its place.",
            )  # fmt: skip
        else:
            yield findings.ok("database", "SQLite finds it sound.")

    async def _check_audit(self) -> AsyncIterator[Finding]:
        if broken := await self._store.verify_audit():
            yield findings.fault("audit", f"Its chain is broken from entry {broken} on: somebody changed the database.",
                                 "Compare it with a backup to see what was changed.")  # fmt: skip
        else:
            yield findings.ok("audit", "Its chain is whole.")

    async def _check_clock(self) -> AsyncIterator[Finding]:
        host = self._settings.docker_server_address
        yield findings.of_clock(await clock.offset(base_url(host) / "v2/", LIMIT_S / 2), host)


async def _findings(subject: str, check: Check) -> list[Finding]:
    """What `check` yields; whatever it raises is one more finding."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            async for finding in check():
                found.append(finding)
    except TimeoutError:
        found.append(findings.fault(subject, f"No answer within {LIMIT_S:.0f} s.", "Look whether it hangs; try again."))
    except O8Error as failure:
        found.append(findings.of_failure(subject, failure))
    except Exception as error:
        # A doctor that dies of one illness is of no use for the others.
        _log.exception("The check of %s failed", subject)
        found.append(findings.fault(subject, f"It could not be checked: {type(error).__name__}.",
                                    "o8's own log has the details."))  # fmt: skip
    return found


async def _in_time(look: Awaitable[object]) -> object:
    async with asyncio.timeout(READY_S):
        return await look


def _why(answer: object) -> str:
    if isinstance(answer, TimeoutError):
        return f"no answer within {READY_S:g} s"
    return answer.message if isinstance(answer, O8Error) else repr(answer) if isinstance(answer, Exception) else ""
