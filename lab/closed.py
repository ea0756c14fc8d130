"""`python -m lab.closed UNIT COMMAND...`: what a unit's SystemCallFilter and MemoryDenyWriteExecute do to a command.

Without systemd, and only as far as `CALLS` go: calls that the unit does not allow fail with EPERM, as it says.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

# Calls by the set that decides about them, by machine: systemd-analyze(1) syscall-filter. The last word on one counts.
CALLS = {"@chown": {"x86_64": (92, 93, 94, 260), "aarch64": (54, 55)}}  # chown, fchown, lchown, fchownat
SETS_WITHIN = {"@chown": ("@chown", "@privileged", "@system-service")}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE = 38, 22, 65  # linux/prctl.h
SECCOMP_MODE_FILTER, ALLOW, FAIL = 2, 0x7FFF0000, 0x00050000
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refused(unit: str) -> list[int]:
    """Numbers of the calls of `CALLS` that a unit with this text does not allow."""
    words = [word for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE) for word in _spread(line)]
    found: list[int] = []
    for name, numbers in CALLS.items():
        last = [word for word in words if word.lstrip("~") in SETS_WITHIN[name]]
        if last and last[-1].startswith("~"):
            found += numbers[platform.machine()]
    return found


def close(unit: str) -> None:
    """This process and what it starts: as in the unit, for ever."""
    libc, calls = ctypes.CDLL(None, use_errno=True), refused(unit)
    lines = [(LOAD, 0, 0, 0), *((EQUALS, len(calls) - at, 0, call) for at, call in enumerate(calls)),
             (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL | errno.EPERM)]  # fmt: skip
    code = b"".join(struct.pack("HBBI", *line) for line in lines)
    program = _Program(len(lines), code)
    _must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _must(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))
    if "MemoryDenyWriteExecute=yes" in unit:
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # Linux 6.3; older ones go without


def _spread(line: str) -> list[str]:
    """`~@a @b` is `~@a ~@b`."""
    sign = "~" if line.startswith("~") else ""
    return [f"{sign}{word}" for word in line.lstrip("~").split()]


def _must(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    close(Path(sys.argv[1]).read_text())
    sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)
