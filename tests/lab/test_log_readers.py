"""The readers of the log benchmark count what is missing and what comes twice, however the bytes are cut."""

from __future__ import annotations

import pytest

from lab.log_readers import Events, Frames, Reader, Run, Tally, Text, run_of


def line(number: int) -> str:
    return f"line {number:09} x"


def text(*numbers: int) -> bytes:
    return "".join(f"{line(number)}\n" for number in numbers).encode()


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(*numbers: int) -> bytes:
    rows = ",".join(f'["2026-11-24T09:00:00.123456789Z", 1, "{line(number)}"]' for number in numbers)
    return f"event: lines\nid: x\ndata: [{rows}]\n\n".encode()


def frame(body: bytes) -> bytes:
    size = bytes([len(body)]) if len(body) < 126 else b"\x7e" + len(body).to_bytes(2, "big")
    return b"\x81" + size + body


SENT = {
    Text: [chunk(text(0, 1)), chunk(text(2, 3, 5)), chunk(text(5, 6)), chunk(b"--- a word of o8 ---\n")],
    Events: [chunk(event(0, 1)), chunk(event(2, 3, 5)), chunk(event(5, 6)), chunk(b": still here\n\n")],
    Frames: [frame(text(0, 1)), frame(text(*range(2, 4), 5)), frame(text(5, 6)), frame(b"--- a word of o8 ---\n")],
}


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_gap_and_a_double_line_are_seen_in_whatever_pieces_they_come(kind: type[Reader], size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
    reader, everything = kind("", {}), head + b"".join(SENT[kind])
    for start in range(0, len(everything), size):
        reader.data_received(everything[start : start + size])
    tally = reader.tally
    assert (tally.lines, tally.lost, tally.doubled, tally.place) == (7, 1, 1, 7)


def test_an_answer_that_is_an_error_is_one() -> None:
    with pytest.raises(RuntimeError, match="403"):
        Text("", {}).data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n")


def test_what_is_wrong_inside_a_piece_and_between_pieces_adds_up() -> None:
    assert run_of([line(3), line(4), line(8), line(7)]) == Run(3, 7, 4, 3, 2)
    tally = Tally("text")
    for run in (Run(0, 4, 5, 0, 0), None, Run(7, 9, 3, 0, 0), Run(8, 10, 3, 0, 0)):
        tally.take(run)
    assert (tally.lost, tally.doubled, tally.lines) == (2, 2, 11)
