"""What the C library keeps of the memory that o8 has used once."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
LARGE = 1024 * 1024  # bytes


def give_back_large_blocks() -> None:
    """From now on blocks of a MiB and more go back to the system when they are freed.

    By itself glibc keeps blocks of a size that was freed once, up to 32 MiB: after one login the 19 MiB of argon2
    stayed with o8 for ever. Does nothing where the C library is another. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
