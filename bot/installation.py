"""What `o8 init` puts on a machine, and what remains to do by hand. Pure: texts in, texts out.

To add a file: an `Item` in `items`; when its text is one of `examples/`, its name in `TEMPLATES` and in pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bot import environment

USER = "orchestr8"
SETTINGS = "/etc/orchestr8/.env"
DATA = "/var/lib/orchestr8"
MANAGED = "/etc/nginx/sites-available/api-managed"
SOCKET = "/run/orchestr8-nginx.sock"
PROGRAM = "/opt/orchestr8/bin/o8"
COMMAND = "/usr/local/bin/o8"
UNIT, ROOT_SOCKET, ROOT_UNIT = "orchestr8.service", "orchestr8-nginx.socket", "orchestr8-nginx@.service"
INCLUDE = "nginx/include.conf"
TEMPLATES = (UNIT, ROOT_SOCKET, ROOT_UNIT, INCLUDE)
HIDDEN = ("/home/", "/root/", "/run/user/")  # by the unit's ProtectHome
_UNITS = "/etc/systemd/system"
_HEAD = "# Settings of o8. docs/settings.md explains them; `o8 doctor` checks them against this machine.\n"

NginxMode = Literal["system", "embedded"]


@dataclass(frozen=True)
class Choices:
    """What was asked for; empty: not asked for, so what stands in the settings stays."""

    nginx: NginxMode
    base_domain: str = ""
    registry_user: str = ""
    registry_token: str = ""
    host: str = ""  # o8's own, for GitHub and browsers
    program: str = PROGRAM


class Item(NamedTuple):
    """A file, a folder (`text` None) or a link (`target`), with what it is to be. Owners by name."""

    path: str
    mode: int
    owner: str = "root"
    group: str = "root"
    text: str | None = None
    target: str = ""


class Found(NamedTuple):
    """What the machine has already."""

    has_docker: bool
    has_nginx: bool
    has_program: bool


def items(choices: Choices, settings: str, templates: Mapping[str, str]) -> Iterator[Item]:
    """Everything, in the order in which it is made. `settings`: the text for `SETTINGS`."""
    yield Item("/etc/orchestr8", 0o750, group=USER)
    yield Item(SETTINGS, 0o640, group=USER, text=settings)
    yield Item(DATA, 0o700, USER, USER)
    yield Item(f"{_UNITS}/{UNIT}", 0o644, text=templates[UNIT].replace(PROGRAM, choices.program))
    if choices.nginx == "system":
        yield Item(f"{_UNITS}/{ROOT_SOCKET}", 0o644, text=templates[ROOT_SOCKET])
        yield Item(f"{_UNITS}/{ROOT_UNIT}", 0o644, text=templates[ROOT_UNIT])
        yield Item(MANAGED, 0o755, USER, USER)
        yield Item("/etc/nginx/conf.d/orchestr8.conf", 0o644, text=templates[INCLUDE])
    yield Item(COMMAND, 0o777, target=choices.program)


def asked(choices: Choices) -> dict[str, str]:
    """The settings that were asked for, empty where nothing was."""
    return {
        "PUBLIC_URL": f"https://{choices.host.lower()}" if choices.host else "", "BASE_DOMAIN": choices.base_domain,
        "DOCKER_USERNAME": choices.registry_user, "GITHUB_PAT": choices.registry_token,
    }  # fmt: skip


def settings_text(choices: Choices, before: str, webhook_secret: str) -> str:
    """`before` (empty: there are none) with what was chosen; everything else stays as written.

    `webhook_secret` is taken when there is none. Raises `InvalidInput` when `before` is no `.env`.
    """
    known, text = environment.parse(before), before or _HEAD
    wanted = {"O8_DATA_DIR": known.get("O8_DATA_DIR") or DATA, "NGINX_MODE": choices.nginx}
    if choices.nginx == "system":
        wanted["NGINX_SOCKET"] = known.get("NGINX_SOCKET") or SOCKET
    wanted["GITHUB_WEBHOOK_SECRET"] = known.get("GITHUB_WEBHOOK_SECRET") or webhook_secret
    if known.get("GITHUB_WEBHOOK_SECRET_FILE"):
        del wanted["GITHUB_WEBHOOK_SECRET"]
    wanted |= asked(choices)
    for name, value in wanted.items():
        if value and known.get(name) != value:
            text = environment.with_value(text, name, value)
    return text


def remaining(choices: Choices, settings: str, found: Found, *, shows_secret: bool) -> Iterator[str]:
    """What a person still has to do, in order. `settings`: as they are now."""
    values = environment.parse(settings)
    packages = [
        name for name, is_there in (("docker.io", found.has_docker), ("nginx", found.has_nginx)) if not is_there
    ]
    if packages:
        yield f"Install what is missing: apt-get install {' '.join(packages)}"
    if not found.has_program:
        yield f"Install o8 itself, so that {choices.program} is there: docs/installing.md"
    if not (values.get("DOCKER_USERNAME") and (values.get("GITHUB_PAT") or values.get("DOCKER_PASSWORD"))):
        yield f"For private images: DOCKER_USERNAME and GITHUB_PAT (classic, read:packages) in {SETTINGS}"
    if choices.nginx == "system":
        start = f"systemctl enable --now {ROOT_SOCKET} {UNIT} && systemctl reload nginx"
        yield f"Start it: systemctl daemon-reload && {start}"
    else:
        yield f"Start it: systemctl disable --now nginx; systemctl daemon-reload && systemctl enable --now {UNIT}"
    yield f"Check it: sudo -u {USER} o8 doctor. The password of `admin` is told once: journalctl -u orchestr8"
    given = choices.host or values.get("PUBLIC_URL", "").rpartition("/")[2]
    host = given or (f"o8.{values['BASE_DOMAIN']}" if values.get("BASE_DOMAIN") else "o8.example.org")
    yield f"Let GitHub and browsers reach it as {host}, with a certificate: examples/nginx/o8.conf, docs/installing.md"
    secret = values.get("GITHUB_WEBHOOK_SECRET", "")
    told = secret if shows_secret and secret else f"GITHUB_WEBHOOK_SECRET of {SETTINGS}"
    setup = "" if given else f"PUBLIC_URL=https://{host} in {SETTINGS}, restart, "
    yield (f"The webhook: {setup}sudo -u {USER} o8 github setup OWNER, with a token that has admin:org_hook. Or "
           f"by hand, at GitHub, Settings, Webhooks, Add webhook: payload URL https://{host}/webhooks/github, content "
           f"type application/json, secret {told}, and of the events only Packages")  # fmt: skip
    yield f"Add the first service: sudo -u {USER} o8 service apply web.toml (docs/services.md), then o8 deploy web"
    yield "Slack, when you like: docs/slack.md takes ten minutes"
