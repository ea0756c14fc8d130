"""Docker's streams taken apart: log frames and lines. Pure; fed with pieces of any size."""

from __future__ import annotations

import struct

LONGEST = 1024 * 1024  # bytes; a program that never ends its line must not fill our memory
_HEADER = struct.Struct(">BxxxL")  # stream (1 stdout, 2 stderr), then length of what follows


class Lines:
    """Whole lines out of pieces, without their line ends."""

    def __init__(self) -> None:
        self._rest = b""

    def __bool__(self) -> bool:
        """Whether the beginning of a line waits for its end."""
        return bool(self._rest)

    def feed(self, piece: bytes) -> list[bytes]:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST:
            whole.append(self._rest)
            self._rest = b""
        return [line.removesuffix(b"\r") for line in whole]

    def end(self) -> list[bytes]:
        """The last line, when the stream ended without a line end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class Frames:
    """Frames out of pieces: each is (stream, payload).

    https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerAttach, "Stream format"
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[tuple[int, bytes]]:
        data, start, frames = self._rest + piece, 0, []
        while len(data) - start >= _HEADER.size:
            stream, length = _HEADER.unpack_from(data, start)
            end = start + _HEADER.size + length
            if len(data) < end:
                break
            frames.append((stream, data[start + _HEADER.size : end]))
            start = end
        self._rest = data[start:]
        return frames


class Chunks:
    """The body of an answer that HTTP sends in chunks: Docker makes one of each line of a log.

    https://www.rfc-editor.org/rfc/rfc9112#section-7.1
    """

    def __init__(self) -> None:
        self._rest = b""
        self.is_complete = False

    def feed(self, piece: bytes) -> bytes:
        """What came of the body; raises `ValueError` for what is no chunk."""
        data, start, parts = self._rest + piece, 0, []
        while (head := data.find(b"\r\n", start)) >= 0:
            size = int(data[start:head].partition(b";")[0], 16)
            end = head + 2 + size
            if size == 0:
                self.is_complete = True
            if size == 0 or len(data) < end + 2:
                break
            parts.append(data[head + 2 : end])
            start = end + 2
        self._rest = data[start:]
        return b"".join(parts)


class LogLines:
    """Lines of a container's log: stdout and stderr each whole, in the order in which they ended."""

    def __init__(self, *, is_tty: bool, has_timestamps: bool) -> None:
        self._is_tty = is_tty
        self._has_timestamps = has_timestamps
        self._frames = Frames()
        self._lines: dict[int, Lines] = {}

    def feed(self, piece: bytes) -> list[bytes]:
        if self._is_tty:  # one raw stream, not framed
            return self._of(0).feed(piece)
        return [line for stream, payload in self._frames.feed(piece) for line in self._add(stream, payload)]

    def end(self) -> list[bytes]:
        return [line for lines in self._lines.values() for line in lines.end()]

    def _add(self, stream: int, payload: bytes) -> list[bytes]:
        lines = self._of(stream)
        if lines and self._has_timestamps:
            # Docker cuts lines of over 16 KiB into frames and puts a time before each; one is enough.
            payload = payload.partition(b" ")[2]
        return lines.feed(payload)

    def _of(self, stream: int) -> Lines:
        return self._lines.setdefault(stream, Lines())
