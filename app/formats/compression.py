"""Takes the compression off a body, and stops as soon as it grows past the limit."""

from __future__ import annotations

import zlib

import zstandard

from app.errors import BadRequest, TooLarge, UnsupportedMediaType

GZIP_WINDOW = 31  # zlib's way to ask for a gzip header
ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 256 * 1024


def decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body as it was before `Content-Encoding`. Raises TooLarge beyond `limit` bytes."""
    match content_encoding.strip().lower():
        case "" | "identity":
            plain = body
        case "gzip" | "x-gzip":
            plain = _gunzip(body, limit)
        case "zstd":
            plain = _unzstd(body, limit)
        case _:
            raise UnsupportedMediaType("Send Content-Encoding gzip or zstd, or none.")
    if len(plain) > limit:
        raise TooLarge(f"A body may hold at most {limit} bytes once decompressed. Send it in parts.")
    return plain


def _gunzip(body: bytes, limit: int) -> bytes:
    """All members of the body, or just over `limit` bytes of them."""
    plain = bytearray()
    while body and len(plain) <= limit:
        member = zlib.decompressobj(GZIP_WINDOW)
        try:
            plain += member.decompress(body, limit + 1 - len(plain))
        except zlib.error:
            raise BadRequest("The body is not gzip, as its Content-Encoding says.") from None
        if not member.eof and len(plain) <= limit:
            raise BadRequest("The gzip body ends too early.")
        body = member.unused_data
    return bytes(plain)


def _unzstd(body: bytes, limit: int) -> bytes:
    """All frames of the body, or just over `limit` bytes of them, by pieces: a read takes memory for all it asks."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    plain = bytearray()
    try:
        with decompressor.stream_reader(body, read_across_frames=True) as reader:
            while len(plain) <= limit and (piece := reader.read(PIECE_BYTES)):
                plain += piece
        if len(plain) <= limit and _is_cut_short(decompressor, body, len(plain)):
            raise BadRequest("The zstd body ends too early.")
    except zstandard.ZstdError:
        raise BadRequest("The body is not zstd, as its Content-Encoding says, or its window is over 8 MiB.") from None
    return bytes(plain)


def _is_cut_short(decompressor: zstandard.ZstdDecompressor, body: bytes, length: int) -> bool:
    """Whether the last frame is incomplete, which a stream reader takes for the end. Call only within the limit."""
    if body and zstandard.frame_content_size(body) == length:
        return False
    while body:
        frame = decompressor.decompressobj()
        frame.decompress(body)
        if not frame.eof:
            return True
        body = frame.unused_data
    return False
