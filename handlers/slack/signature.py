"""Whether a request is Slack's: over its raw bytes, in constant time; any doubt is a no. Pure.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

WINDOW_S = 300
_STAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


def is_genuine(secret: bytes, body: bytes, stamps: Sequence[str], signatures: Sequence[str], now: float) -> bool:
    """`stamps` and `signatures` are all headers of these names; more or fewer than one each is no."""
    if not secret or len(stamps) != 1 or len(signatures) != 1:
        return False
    stamp, signature = stamps[0], signatures[0]
    if not _STAMP.fullmatch(stamp) or not _SIGNATURE.fullmatch(signature) or not stamp.isascii():
        return False
    if abs(now - int(stamp)) > WINDOW_S:
        return False
    made = hmac.new(secret, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={made}".encode(), signature.encode())
