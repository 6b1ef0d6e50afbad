"""What points come in as. A new format costs one file and one line of `FORMATS`."""

from __future__ import annotations

from app.errors import UnsupportedMediaType
from app.formats.compression import decompress
from app.formats.contract import Decoder, Limits, PostedPoints, Rejection
from app.formats.csv_table import decode_csv
from app.formats.json_points import decode_json
from app.formats.ndjson import decode_ndjson

FORMATS: dict[str, Decoder] = {
    "application/json": decode_json,
    "application/x-ndjson": decode_ndjson,
    "application/ndjson": decode_ndjson,
    "application/jsonl": decode_ndjson,
    "text/csv": decode_csv,
}

__all__ = ["FORMATS", "Limits", "PostedPoints", "Rejection", "decode"]


def decode(body: bytes, content_type: str, content_encoding: str, limits: Limits) -> PostedPoints:
    """The points of a request's body.

    Raises BadRequest where the body as a whole cannot be read, TooLarge beyond the limits, UnsupportedMediaType where
    the format or compression is unknown. A body without a content type is taken for JSON.
    """
    media_type = content_type.partition(";")[0].strip().lower() or "application/json"
    decoder = FORMATS.get(media_type)
    if decoder is None:
        raise UnsupportedMediaType("Send Content-Type application/json, application/x-ndjson or text/csv.")
    return decoder(decompress(body, content_encoding, limits.decoded_bytes), limits)
