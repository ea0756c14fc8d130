"""What facts mean, in sentences: good, worth a warning, or a fault, and what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bot.engines import EngineFacts
from bot.errors import O8Error
from bot.pem import Standing
from bot.routes import Route

OLDEST_API = (1, 41)  # Docker 20.10; older ones are not tested
GOOD_DRIVERS = ("overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs", "windowsfilter")
LITTLE_ROOM, NO_ROOM = 0.20, 0.05  # parts of a disk that are free: from there on it is told, nothing is pulled
SLOW_CLOCK = timedelta(seconds=10)
WRONG_CLOCK = timedelta(seconds=60)  # GitHub refuses an App's token that is older than that; Slack 5 minutes
SHORTEST_SHUTDOWN_S = 60
_REPLICA = re.compile(r"o8-(.+)-[ab]-[1-9]")  # service; as `bot.engines.docker.allow` names containers
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Finding(BaseModel):
    """One sentence about one subject. `next_step` has the exact command or line; empty when all is well."""

    model_config = ConfigDict(frozen=True)

    subject: str
    state: Literal["ok", "warning", "fault"]
    message: str
    next_step: str = ""


def ok(subject: str, message: str) -> Finding:
    return Finding(subject=subject, state="ok", message=message)


def warning(subject: str, message: str, next_step: str) -> Finding:
    return Finding(subject=subject, state="warning", message=message, next_step=next_step)


def fault(subject: str, message: str, next_step: str) -> Finding:
    return Finding(subject=subject, state="fault", message=message, next_step=next_step)


def of_failure(subject: str, failure: O8Error) -> Finding:
    """A part of o8 that says itself what is wrong."""
    return fault(subject, failure.message, failure.next_step or "o8's own log has the details.")


def of_engine(facts: EngineFacts) -> Iterator[Finding]:
    what = f"Docker {facts.version} (API {facts.api_version}, {facts.platform})"
    if _version(facts.api_version) < OLDEST_API:
        yield warning("Docker", f"{what} is older than o8 is tested with.", "Install Docker 20.10 or newer.")
    else:
        yield ok("Docker", f"{what} answers.")
    if facts.is_live_restore:
        yield ok("Docker live-restore", "Services stay up while the Docker daemon restarts.")
    else:
        yield warning(
            "Docker live-restore", "Every service stops when the Docker daemon stops, at each of its updates too.",
            'Put `"live-restore": true` into /etc/docker/daemon.json, then `sudo systemctl reload docker`.',
        )  # fmt: skip
    if facts.storage_driver and facts.storage_driver not in GOOD_DRIVERS:
        yield warning(
            "Docker storage", f"The storage driver {facts.storage_driver} is slow, or no longer looked after.",
            'Put `"storage-driver": "overlay2"` into /etc/docker/daemon.json, then `sudo systemctl restart docker`; '
            "images are pulled anew.",
        )  # fmt: skip
    elif facts.storage_driver:
        yield ok("Docker storage", f"The storage driver is {facts.storage_driver}.")
    yield of_room("Docker disk", facts.data_root, facts.storage_bytes_free, facts.storage_bytes_total,
                  "With 5 % or less o8 pulls nothing. `o8 prune` removes images that no release needs; "
                  "`docker system df -v` shows what else fills it.")  # fmt: skip


def of_strangers(foreign: tuple[str, ...], services: frozenset[str]) -> Finding:
    """`foreign`: names of other people's containers; only those that `services` need for their own are in the way."""
    taken = [name for name in foreign if (found := _REPLICA.fullmatch(name)) and found[1] in services]
    if not taken:
        return ok("other o8", "No other container has a name that a service here needs.")
    return fault(
        "other o8", f"Containers of another installation have names that services here need: {', '.join(taken)}.",
        "Set O8_DATA_DIR to the folder of the o8 that made them, or, if that one is gone: "
        f"`docker rm -f {' '.join(taken)}`.",
    )  # fmt: skip


def of_room(subject: str, folder: str, free: int, total: int, next_step: str) -> Finding:
    """`free` and `total` in bytes; a total of 0 means that the disk cannot be seen from here."""
    if not total:
        return warning(subject, f"Not checked: {folder} cannot be seen from here.", f"`df -h {folder}` where it is.")
    text = f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB ({free / total:.0%}) are free at {folder}."
    if free <= total * NO_ROOM:
        return fault(subject, text, next_step)
    return warning(subject, text, next_step) if free <= total * LITTLE_ROOM else ok(subject, text)


def of_routes(subnet: IPv4Network, clashes: tuple[Route, ...]) -> Finding:
    """`clashes`: routes into `subnet` that are not that of o8's own bridge."""
    if not clashes:
        return ok("network", f"{subnet} is o8's alone.")
    named = ", ".join(f"{route.network} ({route.interface})" for route in clashes)
    next_step = "Set O8_SUBNET to a private network that `ip route` does not show, such as 172.30.0.0/16."
    if all(route.network.supernet_of(subnet) and route.network != subnet for route in clashes):
        return warning("network", f"{subnet} hides a part of {named}: hosts there cannot be reached.", next_step)
    return fault("network", f"Requests to services can go astray: {subnet} is also reached by {named}.", next_step)


def of_password(password: str, username: str, shortest: int) -> Finding:
    """`password`: the setting AUTH_PASSWORD; empty: one of o8's own making. `shortest`: what others must have."""
    if not password or len(password) >= shortest:
        return ok("login", f"{username} has a password of {shortest} characters or more.")
    return warning("login", f"AUTH_PASSWORD of {username} has less than {shortest} characters, and may be guessed.",
                   "Set a longer one, or none: then o8 makes one at its next start.")  # fmt: skip


def of_clock(offset: timedelta | None, host: str) -> Finding:
    """`offset`: this machine's clock minus that of `host`."""
    if offset is None:
        return warning("clock", f"Not checked: {host} gave no answer.", f"Compare `date -u` with `curl -sI {host}`.")
    if abs(offset) <= SLOW_CLOCK:
        return ok("clock", f"It agrees with {host}.")
    text = f"It is {abs(offset).total_seconds():.0f} s {'ahead of' if offset > timedelta() else 'behind'} {host}."
    make = fault if abs(offset) > WRONG_CLOCK else warning
    return make("clock", text, "`sudo timedatectl set-ntp true` keeps it right.")


def of_folder(folder: Path, mode: int, owner: int, me: int) -> Finding:
    """`mode` as `stat` has it; `owner` and `me` are numbers of users."""
    if owner != me:
        return fault("data folder", f"{folder} belongs to user {owner}, and o8 runs as {me}.",
                     f"`sudo chown -R {me} {folder}`.")  # fmt: skip
    if mode & 0o077:
        return fault("data folder", f"Others may look into {folder} (mode {mode & 0o777:04o}), where secrets are.",
                     f"`chmod 700 {folder}`.")  # fmt: skip
    return ok("data folder", f"Only o8 may look into {folder}.")


def of_certificate(standing: Standing, snippet: str) -> Finding:
    """`snippet`: the file of NGINX_SNIPPET."""
    subject, found, trouble = f"certificate of {standing.service}", standing.certificate, standing.trouble
    next_step = (
        f"Renew {f'the one that {snippet} names' if standing.source == 'snippet' else 'it'}; o8 reloads nginx then."
    )
    if standing.source == "auto":
        next_step = f"o8 tries again by itself, or at once: `o8 service certificate {standing.service}` (docs/tls.md)."
    why, level = f" {trouble}" if trouble else "", standing.level()
    if found and level == "over":
        return fault(subject, f"It is over since {found.ends:%Y-%m-%d %H:%M} UTC.{why}", next_step)
    if found and level == "ending":
        return warning(subject, f"It ends on {found.ends:%Y-%m-%d}.{why}", next_step)
    if level == "missing":
        lacking = [name for name in standing.names if not (found and found.covers(name))]
        return fault(subject, f"{', '.join(lacking)} can only be visited by HTTP.{why}", next_step)
    if found and trouble:
        return warning(subject, f"It was not renewed and ends on {found.ends:%Y-%m-%d}.{why}", next_step)
    if found:
        return ok(subject, f"It is good until {found.ends:%Y-%m-%d}.")
    if standing.source == "auto":
        return warning(subject, "There is none yet.", "Wait a minute: o8 is getting it.")
    return ok(subject, f"It is not o8's, and how long it is good cannot be read here.{why}")


def of_deployments(trouble: str, refusals: Sequence[str]) -> Finding:
    """`trouble`: why GitHub is told nothing at the moment; `refusals`: what it does not take, by service."""
    if trouble:
        return warning(
            "GitHub's deployments", trouble, "They follow when it answers; docs/github.md says what o8 needs."
        )
    if refusals:
        more = f" (and {len(refusals) - 3} more)" if len(refusals) > 3 else ""
        return warning(
            "GitHub's deployments", f"GitHub does not take: {' '.join(refusals[:3])}{more}",
            "Give the App the permission Deployments (write) there, or leave that owner out of GITHUB_OWNERS.",
        )  # fmt: skip
    return ok("GitHub's deployments", "GitHub shows what runs.")


def of_shutdown_timeout(written: str) -> Finding:
    """`written` as in nginx.conf, such as `10m`; empty when it is not set."""
    subject, line = "nginx shutdown", "Put `worker_shutdown_timeout 10m;` at the top of nginx.conf, outside of `http`."
    if not written:
        return warning(subject, "Open WebSockets keep old nginx workers alive for ever.", line)
    if _seconds(written) < SHORTEST_SHUTDOWN_S:
        return warning(subject, f"Every reload cuts WebSockets after {written}.", line)
    return ok(subject, f"Old workers end after {written} at the latest.")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _seconds(time: str) -> float:
    """https://nginx.org/en/docs/syntax.html: `1h 30m`, `90`; a number alone is seconds."""
    parts = re.findall(r"(\d+)(ms|[smhd])?", time)
    return sum(int(number) * _SECONDS[unit or "s"] for number, unit in parts)
