"""The units and the sudoers of examples/: understood by systemd and sudo, and as closed as docs/decisions.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.nginx import server
from bot.settings import Settings, load

EXAMPLES = Path(__file__).parents[1] / "examples"
UNITS = ("orchestr8.service", "orchestr8-nginx.socket", "orchestr8-nginx@.service")
# Of 10, see systemd-analyze(1); it was 2.1 and 2.8 with systemd 252, and others weigh a little differently.
MOST_EXPOSED = {"orchestr8.service": 2.5, "orchestr8-nginx@.service": 3.0}
NO_SUDO = "NoNewPrivileges=yes"

pytestmark = pytest.mark.slow


def values(unit: str) -> dict[str, str]:
    """Of a unit; lines of the same name together."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (EXAMPLES / unit).read_text(), re.MULTILINE):
        found[name] = f"{found[name]} {value}" if name in found else value
    return found


def run(*command: str | Path) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    assert program is not None, f"{command[0]} is not installed; run lab/setup.sh"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60, check=False)
    return f"{done.stdout}{done.stderr}"


def exposure(unit: Path) -> float:
    found = re.search(r"exposure level for .*: ([0-9.]+) ", run("systemd-analyze", "security", "--offline=true", unit))
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_a_unit_is_as_closed_as_it_was(unit: str) -> None:
    assert exposure(EXAMPLES / unit) <= MOST_EXPOSED[unit]


def test_an_open_one_would_be_seen(tmp_path: Path) -> None:
    """The control: what is left of the unit without what closes it."""
    text = (EXAMPLES / "orchestr8.service").read_text()
    kept = [line for line in text.splitlines() if not re.match(r"Protect|Restrict|SystemCall|Private|Capability", line)]
    (tmp_path / "open.service").write_text("\n".join(kept))
    assert exposure(tmp_path / "open.service") > 5


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    for unit in UNITS:
        text = (EXAMPLES / unit).read_text().replace("/opt/orchestr8/bin/o8", "/bin/true")
        (tmp_path / unit).write_text(text)
    said = run("systemd-analyze", "verify", "--man=no", *(tmp_path / unit for unit in UNITS))
    ours = [line for line in said.splitlines() if str(tmp_path) in line]
    assert ours == []
    (tmp_path / UNITS[0]).write_text(text.replace("NoNewPrivileges", "NoNewPriviledges"))  # the control
    assert "NoNewPriviledges" in run("systemd-analyze", "verify", "--man=no", tmp_path / UNITS[0])


def test_o8_asks_for_no_sudo_where_none_can_work() -> None:
    """`NoNewPrivileges=yes` is implied for every user but root by most of what closes the unit: sudo ends at once."""
    assert NO_SUDO in (EXAMPLES / "orchestr8.service").read_text()
    unit = values("orchestr8.service")
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert unit["KillMode"] == "process"  # an embedded nginx stays
    assert unit["Type"] == "notify"  # `systemctl restart orchestr8 && o8 doctor` finds o8
    assert "ProtectProc" not in unit  # o8 looks at nginx's workers, which are another user's


def test_what_o8_writes_it_may_write() -> None:
    unit = values("orchestr8.service")
    managed = Settings.model_fields["nginx_managed_dir"].default
    assert unit["ReadWritePaths"] == f"-{managed}" and unit["ProtectSystem"] == "strict"
    assert Path("/var/lib") / unit["StateDirectory"] == Path("/var/lib/orchestr8")
    assert int(unit["LimitNOFILE"]) >= server.MAX_OPEN_FILES
    assert f"include {managed}/*.conf;" in (EXAMPLES / "nginx/include.conf").read_text()


def test_both_units_speak_of_the_same_group_and_socket() -> None:
    socket = values("orchestr8-nginx.socket")
    assert socket["SocketGroup"] == values("orchestr8.service")["Group"] == "orchestr8"
    assert (socket["SocketMode"], socket["Accept"]) == ("0660", "yes")
    settings = load({"NGINX_SOCKET": socket["ListenStream"], "O8_DATA_DIR": "/x"}, Path("/nowhere"))
    assert settings.nginx_socket == Path("/run/orchestr8-nginx.sock")


def test_sudo_takes_the_sudoers_and_they_allow_what_the_settings_ask_for_and_no_more(tmp_path: Path) -> None:
    copy = tmp_path / "sudoers"  # visudo wants it to be root's, or ours
    copy.write_text((EXAMPLES / "sudoers").read_text())
    assert "parsed OK" in run("visudo", "-cf", copy)
    allowed = re.search(r"^orchestr8 ALL=\(root\) NOPASSWD: (.*)$", copy.read_text(), re.MULTILINE)
    assert allowed is not None
    commands = [re.sub(r"^\S+/", "", command) for command in allowed[1].split(", ")]
    fields = Settings.model_fields
    test, reload = (fields[name].default.removeprefix("sudo -n ")
                    for name in ("nginx_test_command", "nginx_reload_command"))  # fmt: skip
    assert commands == [test, test.replace("-t", "-T"), reload]
    copy.write_text(copy.read_text().replace("NOPASSWD:", "NOPASSWD"))  # the control
    assert "syntax error" in run("visudo", "-cf", copy)
