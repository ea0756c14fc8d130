"""o8 on a fresh Debian, by the words of the README and docs/operations.md: `make fresh`, or `python -m lab.fresh`.

The commands are read from the pages and run as they stand, on a machine with systemd, Docker and nginx of its own.
o8 comes from the wheel that pip builds: the checkout is away before it starts. Needs root, and Debian's mirror.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import github, results
from lab.engine import spawn, wait_until
from lab.fresh_machine import FreshMachine, fresh_machine
from lab.images import busybox_image

REGISTRY = "127.0.0.1:5000"
IMAGE = f"{REGISTRY}/acme/web"
SERVICE = f"""
name = "web"
image = "{IMAGE}"
port = 8080
watch = 1

[health]
path = "/"
within = 20

[[volumes]]
name = "data"
path = "/data"
"""
SETTINGS = "/etc/orchestr8/.env"
CHECKOUT = "/root/checkout"
HOST = "web.example.org"
AS_O8 = "sudo -u orchestr8 o8"
MOST_EXPOSED = 2.5  # of 10; see tests/test_units.py


def lines_of(page: str, heading: str, block: int = 0) -> list[str]:
    """The commands of a block below `heading`, without their comments."""
    text = (results.ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"\s+#.*", "", line) for line in found[block].splitlines()]


class Story:
    """`told`: what was done, with the seconds it took."""

    def __init__(self, machine: FreshMachine, folder: Path) -> None:
        """`folder`: what is not on the machine, but reached from it: a registry."""
        self.machine = machine
        self.told: list[str] = []
        self._registry: subprocess.Popen[bytes] | None = None
        self._settings = folder / "registry.yml"
        storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
        self._settings.write_text(json.dumps({"version": "0.1", "storage": storage, "http": {"addr": REGISTRY}}))

    def boot(self) -> None:
        self.machine.boot()
        self._registry = spawn([*self.machine.in_its_network, "docker-registry", "serve", str(self._settings)])

    def power_cut(self) -> None:
        self.machine.power_off()
        if self._registry:
            self._registry.kill()
            self._registry.wait()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.told.append(f"{time.monotonic() - began:6.1f}  {what}")
        print(self.told[-1], flush=True)

    def serves(self, version: str) -> None:
        """A visitor of port 80 gets `version`, at the latest within a minute."""
        wait_until(lambda: self.machine.visit(HOST) == (200, f"{version}\n"), f"{version} for a visitor")

    def serves_any(self) -> None:
        status, text = self.machine.visit(HOST)
        if status != 200:
            raise RuntimeError(f"a visitor got {status}: {text}")

    def push(self, version: str) -> None:
        busybox_image(self.machine.engine_host, IMAGE, version, environment={"VERSION": version})

    def deliver(self, version: str) -> str:
        """GitHub's signed word of a push; o8's answer, empty when it gave none."""
        raw = github.encode(github.push(IMAGE, version))
        secret = self.machine.run(f"sed -n s/^GITHUB_WEBHOOK_SECRET=//p {SETTINGS}").strip()
        head = " ".join(f"-H '{name}: {value}'" for name, value in github.headers(secret, raw).items())
        with tempfile.NamedTemporaryFile() as body:
            body.write(raw)
            body.flush()
            inside = " ".join(self.machine.in_its_network)
            url = "http://127.0.0.1:8080/webhooks/github"
            line = f"{inside} curl --silent --max-time 10 {head} --data-binary @{body.name} {url}"
            return subprocess.run(line, shell=True, capture_output=True, text=True).stdout  # noqa: S602

    def doctor_is_content(self) -> None:
        found = json.loads(self.machine.run(f"{AS_O8} doctor --json"))
        faults = [each for each in found if each["state"] == "fault"]
        if faults:
            raise RuntimeError(f"o8 doctor: {faults}")


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


def serial(machine: FreshMachine) -> str:
    """Of the certificate that o8 has for the service."""
    found = json.loads(machine.run(f"{AS_O8} service show web --json"))["certificate"]
    return str((found or {}).get("serial", ""))


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


def checkout(machine: FreshMachine) -> None:
    """The commit that is checked out here, as a clone would have it."""
    folder = machine.root / CHECKOUT[1:]
    folder.mkdir()
    archive = subprocess.run(("git", "archive", "HEAD"), cwd=results.ROOT, capture_output=True, check=True).stdout
    subprocess.run(("tar", "-x", "-C", str(folder)), input=archive, check=True)


def provide_libraries(machine: FreshMachine) -> None:
    """What pip would fetch from its index: the machine has no way out."""
    python = machine.prepare("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'").strip()
    fetch = (sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python,
             "--dest", str(machine.root / "srv/wheels"))  # fmt: skip
    for what in (("--requirement", "requirements.lock"), ("hatchling",)):
        subprocess.run((*fetch, *what), cwd=results.ROOT, check=True, stderr=subprocess.DEVNULL)
    (machine.root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")


def tell(story: Story, there: Story) -> None:
    """All of it; `there`: as fresh as the other."""
    checkout(story.machine)
    try:
        for part in (install, deploy, certificate, upkeep, trouble):
            part(story)
        moving(story, there)
    finally:
        story.power_cut()
        there.power_cut()


def main() -> None:
    commit = results.commit()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="o8-fresh-", ignore_cleanup_errors=True) as name:
        packages = lines_of("README.md", "Run it for real")[0]
        with fresh_machine(Path(name), f"{packages} && apt-get install certbot") as machine:
            provide_libraries(machine)
            another = machine.copy(Path(name) / "another")
            story = Story(machine, Path(name))
            story.told.append(f"{time.monotonic() - began:6.1f}  debootstrap; {packages}")
            tell(story, Story(another, Path(name)))
    text = "\n".join(("seconds", *story.told, "", "as the pages say; Debian 12, systemd, no network but its own"))
    results.write("fresh", "python -m lab.fresh", text, begun_at=commit)


if __name__ == "__main__":
    main()
