"""Who is at the other end of the Unix socket: the kernel says, nobody can claim to be another."""

from __future__ import annotations

import pwd
import socket
import struct
from functools import lru_cache

from aiohttp import web

_CREDENTIALS = struct.Struct("iII")  # struct ucred, unix(7): pid, uid, gid


def actor(request: web.Request) -> str:
    """`cli:` and the user's name, or number where it has none. Raises 403 on any other kind of connection."""
    connection = request.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        raise web.HTTPForbidden(text="/api/v1 answers on o8's Unix socket only.")
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(found)
    return f"cli:{_name(user)}"


@lru_cache(maxsize=256)
def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
