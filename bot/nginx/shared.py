"""The file that all our sites share: maps, the refusal of unknown names, and the number of the generation."""

from __future__ import annotations

import re
from pathlib import Path

from bot.nginx import sites, templates
from bot.nginx.files import Files
from bot.nginx.templates import Value
from bot.settings import Settings

REJECT_HANDSHAKE = (1, 19, 4)  # https://nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_reject_handshake
_GENERATION = re.compile(r'return 200 "(\d+) ')


def render(
    settings: Settings,
    slots_folder: Path,
    generation: int,
    files: Files,
    version: tuple[int, ...],
    has_default: bool,
) -> str:
    """`files`: texts of all sites. `has_default`: unknown host names are ours to refuse."""
    plain = sites.listens(settings, settings.nginx_http_port)
    secure = sites.listens(settings, settings.nginx_https_port)
    is_secure = version >= REJECT_HANDSHAKE and any(sites.has_tls(text) for text in files.values() if text)
    value: Value = {
        "refusing": [{"listens": plain}] if has_default else [],
        "refusing_tls": [{"listens": secure}] if has_default and is_secure else [],
        "listens": plain,
        "slots_folder": str(slots_folder),
        "allowed": ["127.0.0.0/8", *([settings.nginx_listen] if settings.nginx_listen else [])],
        "generation": generation,
    }
    return templates.render("shared.conf.j2", value)


def generation_in(text: str | None) -> int:
    """The generation that a shared file's text belongs to; 0 when it is none."""
    found = _GENERATION.search(text or "")
    return int(found[1]) if found else 0


def is_same(text: str | None, wanted: str) -> bool:
    """Whether `text` differs from `wanted` in its generation at most."""
    return _GENERATION.sub("", text or "") == _GENERATION.sub("", wanted)
