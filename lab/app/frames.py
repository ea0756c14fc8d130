"""WebSocket frames for both ends. https://www.rfc-editor.org/rfc/rfc6455#section-5.2"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import NamedTuple

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1001, 1002, 1009
LARGEST_PAYLOAD = 1 << 20  # bytes
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    is_final: bool = True


class BadFrame(Exception):
    """The conversation must end; `code` says why to the other end."""

    def __init__(self, code: int) -> None:
        super().__init__(f"bad frame ({code})")
        self.code = code


def accept_key(key: str) -> str:
    """What a server answers to `Sec-WebSocket-Key`: https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2"""
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()  # noqa: S324


def goodbye(code: int) -> Frame:
    return Frame(CLOSE, code.to_bytes(2, "big"))


def code_of(frame: Frame) -> int:
    """Why the other end says goodbye; 1005 when it does not tell."""
    return int.from_bytes(frame.payload[:2], "big") or 1005


async def read_frame(reader: asyncio.StreamReader, *, is_masked: bool) -> Frame:
    """The next frame; clients mask theirs, servers do not. Raises `BadFrame`."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    if bool(second & 128) != is_masked or first & 112:
        raise BadFrame(PROTOCOL_ERROR)
    if length > LARGEST_PAYLOAD:
        raise BadFrame(TOO_BIG)
    mask = await reader.readexactly(4) if is_masked else b""
    payload = await reader.readexactly(length)
    return Frame(first & 15, masked(payload, mask) if mask else payload, bool(first & 128))


def encode_frame(frame: Frame, mask: bytes = b"") -> bytes:
    """A frame's bytes; a client gives the four bytes of `mask`."""
    first, length, bit = frame.opcode | (frame.is_final << 7), len(frame.payload), 128 if mask else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 1 << 16:
        head = bytes((first, bit | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + length.to_bytes(8, "big")
    return head + mask + (masked(frame.payload, mask) if mask else frame.payload)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Applied twice, it undoes itself."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")
