"""o8 on a fresh Debian, by the words of the README and docs/operations.md: `make fresh`, or `python -m lab.fresh`.

The commands are read from the pages and run as they stand, on a machine with systemd, Docker and nginx of its own.
o8 comes from the wheel that pip builds: the checkout is away before it starts. Needs root, and Debian's mirror.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import results
from lab.engine import wait_until
from lab.fresh_machine import FreshMachine, fresh_machine
from lab.fresh_story import (
    AS_O8,
    CHECKOUT,
    HOST,
    MOST_EXPOSED,
    REGISTRY,
    SERVICE,
    SETTINGS,
    Story,
    block_of,
    checkout,
    lines_of,
    provide_libraries,
    serial,
)  # fmt: skip


def install(story: Story) -> None:
    """README, "Run it for real"."""
    machine = story.machine
    _, pip, init, *start = lines_of("README.md", "Run it for real")
    with story.step(f"boots with Docker and nginx; {pip}"):
        story.boot()
        machine.run(pip, folder=CHECKOUT)
        shutil.rmtree(machine.root / CHECKOUT[1:])
    with story.step(init):
        made = machine.run(init)
        machine.run(f"echo DOCKER_SERVER_ADDRESS={REGISTRY} >> {SETTINGS}")
        if made.count("made ") != 10:
            raise RuntimeError(made)
    for line in start:
        with story.step(line):
            machine.run(line)
    exposed = re.search(r"exposure level for .*: ([0-9.]+) ", machine.run("systemd-analyze security orchestr8"))
    if exposed is None or float(exposed[1]) > MOST_EXPOSED:
        raise RuntimeError(f"the unit is more open than it was: {exposed}")
    home = machine.run("cd / && /opt/orchestr8/bin/python -c 'import bot; print(bot.__file__)'").strip()
    story.told.append(f"        the unit as it runs: {exposed[1]} of 10 in systemd-analyze security; o8 is {home}")


def deploy(story: Story) -> None:
    machine = story.machine
    with story.step("o8 service apply web.toml, o8 deploy web: visitors of port 80 get 0001"):
        story.push("0001")
        (machine.root / "srv/web.toml").write_text(SERVICE)
        machine.run(f"{AS_O8} service apply /srv/web.toml && {AS_O8} deploy web")
        story.serves("0001")
    with story.step("a signed webhook: visitors get 0002"):
        story.push("0002")
        answer = story.deliver("0002")
        if '"accepted"' not in answer:
            raise RuntimeError(answer)
        story.serves("0002")
    with story.step("o8 is killed; systemd starts it again, and visitors get 0003 that was pushed then"):
        story.push("0003")
        machine.run("systemctl kill -s KILL orchestr8")
        wait_until(lambda: '"accepted"' in story.deliver("0003"), "o8 after the kill")
        story.serves("0003")


def certificate(story: Story) -> None:
    """docs/tls.md: certbot as a child of the closed unit. Certificates end after 48 s here, and are renewed before."""
    machine = story.machine
    code = ("import sys; from datetime import timedelta; from lab.acme import authority\n"
            "with authority(80, life=timedelta(seconds=48)) as pebble:\n"
            "    print(pebble.directory, flush=True); sys.stdin.read()")  # fmt: skip
    command = (*machine.in_its_network, sys.executable, "-c", code)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=results.ROOT, text=True, **pipes) as pebble:  # type: ignore[call-overload]
        with story.step('tls = "auto": a certificate of a real certbot under the unit, and its renewal'):
            more = f"ACME_SERVER={pebble.stdout.readline().strip()}\\nCERTBOT_COMMAND=certbot --no-verify-ssl\\n"
            machine.run(f"printf '{more}' >> {SETTINGS} && systemctl restart orchestr8")
            (machine.root / "srv/web.toml").write_text(f'{SERVICE}\n[site]\ntls = "auto"\n')
            machine.run(f"{AS_O8} service apply /srv/web.toml")
            wait_until(lambda: machine.visit(HOST, scheme="https")[0] == 200, "a certificate")
            first = serial(machine)
            wait_until(lambda: serial(machine) != first, "its renewal")
            (machine.root / "srv/web.toml").write_text(SERVICE)
            machine.run(f"{AS_O8} service apply /srv/web.toml")
            story.serves("0003")
        pebble.communicate("")


def upkeep(story: Story) -> None:
    """docs/operations.md."""
    machine = story.machine
    with story.step("Backup, a push of 0004, Restore: sites are up, and o8 finds 0004 again"):
        for line in lines_of("docs/operations.md", "Backup"):
            machine.run(line)
        story.push("0004")
        story.deliver("0004")
        story.serves("0004")
        for line in lines_of("docs/operations.md", "Restore"):
            machine.run(line)
            story.serves_any()
        story.serves("0004")
        story.doctor_is_content()
    with story.step("Upgrade, with a newer checkout"):
        checkout(machine)
        for line in lines_of("docs/operations.md", "Upgrade"):
            machine.run(line, folder=CHECKOUT)
            story.serves_any()
    with story.step("o8 rotate-key, o8 prune --dry-run, o8 user password admin by root"):
        machine.run(f"{AS_O8} rotate-key && {AS_O8} prune --dry-run")
        machine.run("sudo o8 user password admin", text="a-new-password-of-admin\n")


def trouble(story: Story) -> None:
    """docs/operations.md, "What to do when"."""
    machine = story.machine
    with story.step("somebody's broken nginx file: a site cannot be changed, and 0004 serves; mended: it can"):
        broken = machine.root / "etc/nginx/conf.d/somebody.conf"
        broken.write_text("server { listen 80; servername x; }\n")
        (machine.root / "srv/web.toml").write_text(SERVICE + '[site]\nmax_body_size = "20m"\n')
        apply = f"{AS_O8} service apply /srv/web.toml && {AS_O8} deploy web"
        said = machine.run(f"{apply} || true")
        if "somebody.conf" not in said:
            raise RuntimeError(f"nobody named the file: {said}")
        story.serves("0004")
        broken.unlink()
        machine.run(apply)
        story.serves("0004")
    with story.step("the database is damaged: o8 doctor or the start says so, and the last backup is restored"):
        damage(machine)
        story.serves("0004")
        for line in lines_of("docs/operations.md", "Restore"):
            machine.run(line)
            story.serves_any()
        story.serves("0004")
        story.doctor_is_content()
    with story.step("Docker stops, and is started: all is back without a command to o8"):
        machine.run("systemctl stop docker docker.socket && systemctl start docker")
        story.serves("0004")
    with story.step("power cut, and boot: all is back by itself"):
        story.power_cut()
        story.boot()
        story.serves("0004")
        wait_until(lambda: "active" in machine.run("systemctl is-active orchestr8 || true"), "o8 after the boot")
        story.doctor_is_content()


def damage(machine: FreshMachine) -> None:
    """Pages in the middle of the database are overwritten, as by a broken disk, while o8 does not run."""
    machine.run("systemctl stop orchestr8")
    with (machine.root / "var/lib/orchestr8/o8.sqlite").open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 100_000)
    said = machine.run(f"(systemctl start orchestr8 && {AS_O8} doctor || true) 2>&1; journalctl -u orchestr8 -n 20")
    if not re.search("malformed|damaged", said):
        raise RuntimeError(f"nobody spoke of damage: {said}")


def moving(story: Story, there: Story) -> None:
    """docs/operations.md, "Moving to another host": `there` is one more fresh machine."""
    with story.step("Moving to another host: it serves 0004 there, with its volume"):
        (story.machine.root / "var/lib/orchestr8/volumes/web/data/kept").write_text("kept\n")
        for line in lines_of("docs/operations.md", "Moving to another host"):
            story.machine.run(line)
            story.serves("0004")
        for name in ("root/move.o8", "root/volumes.tgz", "etc/orchestr8/.env"):
            shutil.copy(story.machine.root / name, there.machine.root / "root")
        story.power_cut()
        there.boot()
        _, pip, init, *_ = lines_of("README.md", "Run it for real")
        checkout(there.machine)
        there.machine.run(pip, folder=CHECKOUT)
        there.machine.run(init)
        for line in lines_of("docs/operations.md", "Moving to another host", 1):
            there.machine.run(line)
        there.serves("0004")
        if there.machine.run("docker exec $(docker ps -q --filter name=^o8-web) cat /data/kept") != "kept\n":
            raise RuntimeError("the volume was lost")


def by_hand(story: Story) -> None:
    """docs/installing.md, "By hand"."""
    machine = story.machine
    with story.step("By hand: o8 init finds nothing to change, and 0001 serves"):
        story.boot()
        checkout(machine)
        _, pip, init, *start = lines_of("README.md", "Run it for real")
        machine.run(pip, folder=CHECKOUT)
        machine.run(block_of("docs/installing.md", "By hand"), folder=CHECKOUT)
        machine.run(init.partition(" --")[0])
        machine.run(f"echo DOCKER_SERVER_ADDRESS={REGISTRY} >> {SETTINGS}")
        for line in start:
            machine.run(line)
        (machine.root / "srv/web.toml").write_text(SERVICE)
        story.push("0001")
        machine.run(f"{AS_O8} service apply /srv/web.toml && {AS_O8} deploy web")
        story.serves("0001")
    with story.step("Without systemd: examples/sudoers instead of the socket; 0002 serves"):
        machine.run("systemctl disable --now orchestr8 orchestr8-nginx.socket")
        machine.run("install -m 440 examples/sudoers /etc/sudoers.d/orchestr8 && visudo -c", folder=CHECKOUT)
        machine.run(f"usermod -aG docker orchestr8 && sed -i /NGINX_SOCKET/d {SETTINGS}")
        serve = "setsid runuser -u orchestr8 -- /opt/orchestr8/bin/o8 serve"
        machine.run(f"({serve} >/tmp/o8.log 2>&1 </dev/null &)", folder="/etc/orchestr8")
        story.push("0002")
        wait_until(lambda: '"accepted"' in story.deliver("0002"), "o8 without systemd")
        story.serves("0002")
        (machine.root / "srv/web.toml").write_text(f'{SERVICE}\n[site]\nmax_body_size = "20m"\n')
        machine.run(f"{AS_O8} service apply /srv/web.toml && {AS_O8} deploy web")
        story.doctor_is_content()


def tell(story: Story, there: Story, third: Story) -> None:
    """All of it; each on a machine as fresh as the others."""
    checkout(story.machine)
    try:
        by_hand(third)
        third.power_cut()
        for part in (install, deploy, certificate, upkeep, trouble):
            part(story)
        moving(story, there)
    finally:
        for each in (story, there, third):
            each.power_cut()


def main() -> None:
    commit = results.commit()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="o8-fresh-", ignore_cleanup_errors=True) as name:
        packages = lines_of("README.md", "Run it for real")[0]
        with fresh_machine(Path(name), f"{packages} && apt-get install certbot") as machine:
            provide_libraries(machine)
            there = Story(machine.copy(Path(name) / "there"), Path(name))
            third = Story(machine.copy(Path(name) / "third"), Path(name) / "hand")  # with a registry of its own
            story = Story(machine, Path(name))
            story.told.append(f"{time.monotonic() - began:6.1f}  debootstrap; {packages}")
            tell(story, there, third)
            story.told += third.told
    text = "\n".join(("seconds", *story.told, "", "as the pages say; Debian 12, systemd, no network but its own"))
    results.write("fresh", "python -m lab.fresh", text, begun_at=commit)


if __name__ == "__main__":
    main()
