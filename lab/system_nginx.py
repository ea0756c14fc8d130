"""A real nginx as an administrator sets it up: its own nginx.conf, other people's sites, one folder for o8."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.engine import wait_until
from lab.ports import free_port

_MAIN = """
{user}
pid {home}/nginx.pid;
error_log {home}/error.log notice;
worker_processes 2;
worker_shutdown_timeout 30s;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    include {home}/others/*.conf;
    include {home}/managed/*.conf;
}}
"""
_OTHER = "server {{ listen 127.0.0.1:{port}; server_name other.test; return 200 other; }}\n"


class SystemNginx:
    """`others` is the folder of other people's sites, `managed` the one for o8; call `start`."""

    def __init__(self, home: Path, user: str = "root") -> None:
        self.home = home
        self.others, self.managed = home / "others", home / "managed"
        self.http_port, self.https_port = free_port(), free_port()
        for folder in (self.others, self.managed):
            folder.mkdir(parents=True)
        (home / "nginx.conf").write_text(_MAIN.format(home=home, user=f"user {user};" if os.geteuid() == 0 else ""))
        (self.others / "other.conf").write_text(_OTHER.format(port=self.http_port))
        self.command = f"{nginx_binary()} -e stderr -c {home}/nginx.conf"

    def settings(self) -> dict[str, Any]:
        return {
            "nginx_mode": "system", "nginx_managed_dir": self.managed, "nginx_listen": "127.0.0.1",
            "nginx_http_port": self.http_port, "nginx_https_port": self.https_port,
            "nginx_test_command": f"{self.command} -t", "nginx_reload_command": f"{self.command} -s reload",
        }  # fmt: skip

    def start(self) -> None:
        subprocess.run(self.command.split(), check=True, timeout=10)

    def reload(self) -> None:
        """Returns when no connection is taken by a worker with the configuration of before any more."""
        master = int((self.home / "nginx.pid").read_text())
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        subprocess.run([*self.command.split(), "-s", "reload"], check=True, timeout=10)
        wait_until(lambda: not any(map(_takes_connections, workers)), "nginx's new configuration")

    def stop(self) -> None:
        pid_file = self.home / "nginx.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text())
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            select.select([handle], [], [], 10)
        finally:
            os.close(handle)


@contextmanager
def system_nginx(home: Path, user: str = "root") -> Iterator[SystemNginx]:
    """A running one; `user`: whom its workers run as, where the master is root."""
    nginx = SystemNginx(home, user)
    nginx.start()
    try:
        yield nginx
    finally:
        nginx.stop()


def _takes_connections(worker: str) -> bool:
    with suppress(OSError):  # it has ended
        return b"shutting down" not in Path(f"/proc/{worker}/cmdline").read_bytes()
    return False


def nginx_binary() -> str:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise RuntimeError("nginx is not installed; run lab/setup.sh")
    return found
