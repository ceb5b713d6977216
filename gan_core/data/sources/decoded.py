"""Bytes as text, with the line and byte that are not what the encoding says."""

from __future__ import annotations

import codecs
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator

from gan_core.errors import DataError

BYTE_ORDER_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
NormalForm = Literal["NFC", "NFKC"]


def _is_known(encoding: str) -> str:
    try:
        "a".encode(encoding)
    except LookupError:
        raise ValueError(f"'{encoding}' is no text encoding; utf-8 works, and latin-1 for many older files") from None
    return encoding


Encoding = Annotated[str, AfterValidator(_is_known)]


def decode_text(data: bytes, encoding: str, where: str, form: NormalForm | None = None) -> str:
    """A file's text: without a byte order mark, every line ended by a newline alone, in a Unicode normal form if asked.

    DataError names the line and byte that the encoding does not have, and an encoding to try.
    """
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    try:
        text = data.decode("utf-8-sig" if utf8 else encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: {_misfit(error)}; {_advice(data, utf8)}") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize(form, text) if form else text


def _misfit(error: UnicodeDecodeError) -> str:
    before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line, byte = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    return f"line {line}, byte {byte}: 0x{error.object[error.start]:02x} is not {error.encoding}"


def _advice(data: bytes, utf8: bool) -> str:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return f"it begins as {encoding} does: set encoding: {encoding}"
    return "set encoding: latin-1 if it is an older western file, or save it as UTF-8" if utf8 else "utf-8 may be right"
