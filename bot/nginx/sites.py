"""From a service's configuration to the plain value that `site.conf.j2` takes. Pure, but for certificates and IPv6.

To add a site feature: a key in the value here, a loop in the template, a test through a real nginx.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bot import pem
from bot.configuration import Configuration
from bot.errors import CertificateError, NginxError
from bot.models import SLOTS, Address, Slot
from bot.nginx.templates import Value
from bot.settings import Settings

HTTP2_DIRECTIVE = (1, 25, 1)  # until then a word of `listen`; https://nginx.org/en/docs/http/ngx_http_v2_module.html
ONE_YEAR_S = 31536000
_NAMES = re.compile(r"^\s*server_name (.+);$", re.MULTILINE)
_TLS = re.compile(r"^\s*listen \S+ ssl\b", re.MULTILINE)


class Folders(NamedTuple):
    """Where the flags are, and where answers to a certificate authority are."""

    slots: Path
    acme: Path


def site_value(
    configuration: Configuration,
    addresses: Mapping[Slot, Sequence[Address]],
    settings: Settings,
    folders: Folders,
    version: tuple[int, ...],
) -> Value:
    """Everything `site.conf.j2` needs; strings are not checked here but by `templates.render`.

    Raises `NginxError` when the site needs a setting that is empty.
    """
    site = configuration.site
    tls = _tls(configuration, settings)
    acme = [str(folders.acme)] if site.tls == "auto" else []
    return {
        "name": configuration.name,
        "slots": [{"name": slot, "addresses": [str(address) for address in addresses[slot]]} for slot in SLOTS],
        "slots_folder": str(folders.slots),
        "trusts": _trusts(configuration),
        "max_body_size": site.max_body_size,
        "timeout": site.timeout,
        "buffering": "on" if site.buffering else "off",
        "redirects": _redirects(configuration, settings, tls),
        "acme": acme,
        "servers": _servers(configuration, settings, tls, version),
    }


def listens(settings: Settings, port: int | str) -> list[str]:
    """What sites listen on: `NGINX_LISTEN`, or every address of the machine."""
    if settings.nginx_listen:
        return [f"{settings.nginx_listen}:{port}"]
    return [str(port), f"[::]:{port}"] if _has_ipv6() else [str(port)]


def host_names(configuration: Configuration, settings: Settings) -> list[str]:
    """The service's domains, or its name below `BASE_DOMAIN`, or none."""
    if configuration.domains or not settings.base_domain:
        return list(configuration.domains)
    return [f"{configuration.name}.{settings.base_domain}"]


def names_in(text: str) -> frozenset[str]:
    """Host names that a site's text asks for."""
    return frozenset(name for names in _NAMES.findall(text) for name in names.split())


def has_tls(text: str) -> bool:
    return bool(_TLS.search(text))


class _Tls(NamedTuple):
    """What can be served by HTTPS now: `names`. The `others` get HTTP until there is a certificate for them."""

    names: list[str]
    others: list[str]
    snippets: list[str]
    certificates: list[Value]
    serials: list[str]  # written into the text, so that a renewed certificate makes another one


def _tls(configuration: Configuration, settings: Settings) -> _Tls:
    site, names = configuration.site, host_names(configuration, settings)
    try:
        found = pem.served(configuration, settings)
    except CertificateError as trouble:  # told by whoever looks after certificates; here the site goes on
        if trouble.is_transient and site.tls == "auto":
            raise  # the site stays as it is: it may be a good certificate
        found = None
    serials = [found.serial] if found else []
    if site.tls == "snippet":
        return _Tls(names, [], [settings.nginx_snippet], [], serials)
    if site.tls == "certificate":
        return _Tls(names, [], [], [{"certificate": site.certificate, "key": site.key}], serials)
    if site.tls == "auto" and found:
        pair = {"certificate": str(found.chain), "key": str(found.key)}
        others = [name for name in names if not found.covers(name)]
        return _Tls([name for name in names if found.covers(name)], others, [], [pair], serials)
    return _Tls([], names, [], [], [])


def _trusts(configuration: Configuration) -> list[Value]:
    """One, or none; `id` names its variables, because nginx's variables have no room for a service's longest name."""
    site = configuration.site
    if not site.trusted_proxies:
        return []
    short = hashlib.sha256(configuration.name.encode(errors="replace")).hexdigest()[:10]
    return [{"id": short, "networks": list(site.trusted_proxies), "header": site.client_address_header}]


def _redirects(configuration: Configuration, settings: Settings, tls: _Tls) -> list[Value]:
    if not configuration.site.redirect_to_https or not tls.names:
        return []
    port = "" if settings.nginx_https_port == 443 else f":{settings.nginx_https_port}"
    return [{"listens": [[listen] for listen in listens(settings, settings.nginx_http_port)], "names": tls.names,
             "port": port}]  # fmt: skip


def _servers(configuration: Configuration, settings: Settings, tls: _Tls, version: tuple[int, ...]) -> list[Value]:
    servers = []
    if plain := [*([] if configuration.site.redirect_to_https else tls.names), *tls.others]:
        servers.append(_server([[listen] for listen in listens(settings, settings.nginx_http_port)], plain))
    if tls.names:
        servers.append(_secure_server(configuration, settings, tls, version))
    if configuration.host_port:
        port = configuration.host_port
        places = [port] if ":" in port else listens(settings, port)
        servers.append(_server([[place, "default_server"] for place in places], ["_"]))  # answers to any name
    return servers


def _secure_server(configuration: Configuration, settings: Settings, tls: _Tls, version: tuple[int, ...]) -> Value:
    site = configuration.site
    if site.tls == "snippet" and not settings.nginx_snippet:
        raise NginxError(
            f'{configuration.name} has tls = "snippet", but NGINX_SNIPPET is empty.',
            "Set NGINX_SNIPPET to a file with ssl_certificate and ssl_certificate_key.",
        )
    is_word = site.http2 and version < HTTP2_DIRECTIVE
    words = ["ssl", "http2"] if is_word else ["ssl"]
    return _server(
        [[listen, *words] for listen in listens(settings, settings.nginx_https_port)],
        tls.names,
        http2=["on"] if site.http2 and not is_word else [],
        snippets=tls.snippets,
        certificates=tls.certificates,
        hsts=[ONE_YEAR_S] if site.hsts else [],
        serials=tls.serials,
    )


def _server(places: list[list[str]], names: list[str], **more: list[Any]) -> Value:
    nothing: Value = {"http2": [], "snippets": [], "certificates": [], "hsts": [], "serials": []}
    return {"listens": places, "names": names, **nothing, **more}


def _has_ipv6() -> bool:
    """Whether this machine has any IPv6 address: without one, nginx could not listen on `[::]`."""
    try:
        return bool(Path("/proc/net/if_inet6").read_text())
    except OSError:
        return False
