"""Docker's log framing, taken apart whatever the pieces."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.engines.docker.lines import LONGEST, Chunks, Lines, LogLines

payloads = some.lists(some.tuples(some.sampled_from([1, 2]), some.binary(max_size=30)), max_size=12)
cuts = some.lists(some.integers(0, 400), max_size=8)


def framed(payloads: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(payload)) + payload for stream, payload in payloads)


def read(data: bytes, cuts: list[int], *, is_tty: bool = False, has_timestamps: bool = False) -> list[bytes]:
    lines = LogLines(is_tty=is_tty, has_timestamps=has_timestamps)
    places = [0, *sorted(cuts), len(data) + 400]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    return [line for piece in pieces for line in lines.feed(piece)] + lines.end()


def plain(text: bytes) -> list[bytes]:
    """The lines of one output, as Python's own tools see them."""
    *whole, rest = text.split(b"\n")
    return [line.removesuffix(b"\r") for line in whole] + ([rest] if rest else [])


@given(payloads=payloads, cuts=cuts)
def test_each_output_keeps_its_lines_however_the_stream_is_cut(
    payloads: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    expected = [line for s in (1, 2) for line in plain(b"".join(p for stream, p in payloads if stream == s))]
    assert sorted(read(framed(payloads), cuts)) == sorted(expected)
    assert read(framed(payloads), cuts) == read(framed(payloads), [])


@given(text=some.binary(max_size=200), cuts=cuts)
def test_a_terminals_output_is_not_framed(text: bytes, cuts: list[int]) -> None:
    assert read(text, cuts, is_tty=True) == plain(text)


def test_a_long_line_keeps_one_time_only() -> None:
    parts = [
        (1, b"2026-01-01T00:00:00Z first "),
        (2, b"2026-01-01T00:00:01Z err\n"),
        (1, b"2026-01-01T00:00:02Z second\n"),
    ]
    assert read(framed(parts), [], has_timestamps=True) == [
        b"2026-01-01T00:00:01Z err",
        b"2026-01-01T00:00:00Z first second",
    ]


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines()
    assert [len(line) for _ in range(3) for line in lines.feed(b"x" * LONGEST)] == [2 * LONGEST]


@given(bodies=some.lists(some.binary(min_size=1, max_size=60), max_size=12), cuts=some.lists(some.integers(0, 900)))
def test_a_body_in_chunks_is_whole_however_it_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies)
    places = [0, *sorted(cuts), len(sent) + 900]
    chunks, pieces = Chunks(), [sent[start:end] for start, end in itertools.pairwise(places)]
    assert b"".join(map(chunks.feed, pieces)) == b"".join(bodies)
    assert not chunks.is_complete  # so that an answer that breaks off is told from one that ends
    assert chunks.feed(b"0\r\n\r\n") == b"" and chunks.is_complete


def test_what_is_no_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Chunks().feed(b"hello\r\n")
