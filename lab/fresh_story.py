"""What the parts of `lab.fresh` share: the commands of the guides, and what a visitor, GitHub and the doctor say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import github, results
from lab.engine import spawn, wait_until
from lab.fresh_machine import FreshMachine
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


def block_of(page: str, heading: str, block: int = 0) -> str:
    """A block of commands below `heading`, without comments."""
    text = (results.ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found: list[str] = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return re.sub(r"\s+#.*", "", found[block])


def lines_of(page: str, heading: str, block: int = 0) -> list[str]:
    return block_of(page, heading, block).splitlines()


class Story:
    """`told`: what was done, with the seconds it took."""

    def __init__(self, machine: FreshMachine, folder: Path) -> None:
        """`folder`: what is not on the machine, but reached from it: a registry."""
        self.machine = machine
        self.told: list[str] = []
        self._registry: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
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


def serial(machine: FreshMachine) -> str:
    """Of the certificate that o8 has for the service."""
    found = json.loads(machine.run(f"{AS_O8} service show web --json"))["certificate"]
    return str((found or {}).get("serial", ""))


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
