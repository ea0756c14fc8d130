"""What the one who started o8 hears of it: systemd, by sd_notify(3). `systemctl start` returns when o8 serves."""

from __future__ import annotations

import logging
import socket

_log = logging.getLogger(__name__)


def tell(address: str, state: str) -> None:
    """Sends `state`, such as `READY=1`, to the socket of NOTIFY_SOCKET; when that is empty, nobody asked for it."""
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
    except OSError as error:
        _log.warning("systemd was not told %s: %s", state, error)
