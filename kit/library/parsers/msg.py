"""Outlook messages (MSG): properties in the streams of an OLE file.

Property numbers and types: [MS-OXMSG] and [MS-OXPROPS]; compressed rich text: [MS-OXRTFCP].
Knows the container; what becomes of a message is `mail`'s business.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kit.library.documents import ParsedDocument
from kit.library.parsers.mail import Attachment, Mail, read_mail, whole_body

_SUBJECT, _BODY, _HTML, _RTF = 0x0037, 0x1000, 0x1013, 0x1009
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_TO, _CC = 0x0E04, 0x0E03
_SUBMITTED, _DELIVERED = 0x0039, 0x0E06
_FILE_DATA, _LONG_NAME, _SHORT_NAME, _SHOWN_NAME = 0x3701, 0x3707, 0x3704, 0x3001
_MEDIA_TYPE, _CONTENT_ID = 0x370E, 0x3712
_TEXT, _BYTE_TEXT, _BYTES, _STORAGE = 0x001F, 0x001E, 0x0102, 0x000D
_CODE_PAGES = (0x3FFD, 0x3FDE)
_HEADER_BYTES = (32, 24, 8)  # of the property stream: of the message, one inside, an attachment
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
MAX_RTF_BYTES = 32 << 20


def parse(path: Path) -> ParsedDocument:
    """Section 'message', then the attachments' own sections. Raises what olefile raises."""
    return read_mail(open_msg(path))


def open_msg(path: Path) -> Mail:
    """The message; attachments are read when they are asked for."""
    import olefile

    return _mail(olefile.OleFileIO(path.read_bytes()), [])


def _mail(ole: Any, folder: list[str]) -> Mail:
    part = _Part(ole, folder, _HEADER_BYTES[1] if folder else _HEADER_BYTES[0])
    name = part.text(_SENDER_NAME)
    address = part.text(_SENDER_SMTP) or part.text(_SENDER_ADDRESS)
    address = address if "@" in address else ""
    sender = f"{name} <{address}>" if name and address and name != address else name or address
    sent_at = part.time(_SUBMITTED) or part.time(_DELIVERED)
    headers = (
        ("From", sender),
        ("To", part.text(_TO)),
        ("Cc", part.text(_CC)),
        ("Date", f"{sent_at:%Y-%m-%d %H:%M} UTC" if sent_at else ""),
        ("Subject", part.text(_SUBJECT)),
    )
    body, notes = _body(part)
    return Mail(
        sender=sender,
        subject=part.text(_SUBJECT),
        headers=[(key, value) for key, value in headers if value],
        body=body,
        attachments=list(_attachments(ole, folder)),
        sent_at=sent_at,
        notes=notes,
    )


def _body(part: _Part) -> tuple[str, tuple[str, ...]]:
    """The plain text with what only the HTML says; or what a reader sees of HTML or rich text."""
    from kit.library.parsers.html import decode_html, parse_html
    from kit.library.parsers.rtf import parse_rtf

    text, page = part.text(_BODY), part.data(_HTML)
    page_text = decode_html(page)[0] if page else part.text(_HTML)
    if page_text:
        parsed = parse_html(page_text)
        return whole_body(text, parsed) if text.strip() else parsed.text, parsed.notes
    if text:
        return text, ()
    if packed := part.data(_RTF):
        parsed = parse_rtf(unpack_rtf(packed))
        return parsed.text, parsed.notes
    return "", ()


def _attachments(ole: Any, folder: list[str]) -> Iterator[Attachment]:
    names = {
        entry[len(folder)]
        for entry in ole.listdir()
        if entry[: len(folder)] == folder and len(entry) > len(folder)
    }
    for storage in sorted(name for name in names if name.startswith("__attach_version1.0_")):
        part = _Part(ole, [*folder, storage], _HEADER_BYTES[2])
        name = part.text(_LONG_NAME) or part.text(_SHORT_NAME) or part.text(_SHOWN_NAME)
        inner = [*folder, storage, f"__substg1.0_{_FILE_DATA:04X}{_STORAGE:04X}"]
        is_message = ole.exists([*inner, "__properties_version1.0"])
        yield Attachment(
            name=name or ("message.msg" if is_message else "attachment"),
            load=partial(_mail, ole, inner) if is_message else partial(part.data, _FILE_DATA),
            media_type=part.text(_MEDIA_TYPE),
            is_inline=bool(part.text(_CONTENT_ID)) and not is_message,
        )


class _Part:
    """A message or an attachment: its properties by number."""

    def __init__(self, ole: Any, folder: list[str], header_bytes: int) -> None:
        self._ole, self._folder = ole, folder
        record = self._stream("__properties_version1.0")
        self._fixed = {
            int.from_bytes(record[at + 2 : at + 4], "little"): record[at + 8 : at + 16]
            for at in range(header_bytes, len(record) - 15, 16)
        }
        pages = (int.from_bytes(self._fixed.get(p, b"")[:4], "little") for p in _CODE_PAGES)
        self._encoding = next((f"cp{page}" for page in pages if page), "cp1252")

    def text(self, number: int) -> str:
        if data := self._value(number, _TEXT):
            return data.decode("utf-16-le", "replace").rstrip("\0")
        data = self._value(number, _BYTE_TEXT)
        try:
            return data.decode(self._encoding.replace("cp65001", "utf-8"), "replace").rstrip("\0")
        except LookupError:
            return data.decode("cp1252", "replace").rstrip("\0")

    def data(self, number: int) -> bytes:
        return self._value(number, _BYTES)

    def time(self, number: int) -> datetime | None:
        ticks = int.from_bytes(self._fixed.get(number, b""), "little")  # of 100 ns since 1601
        try:
            return _EPOCH + timedelta(microseconds=ticks // 10) if ticks else None
        except OverflowError:
            return None

    def _value(self, number: int, kind: int) -> bytes:
        return self._stream(f"__substg1.0_{number:04X}{kind:04X}")

    def _stream(self, name: str) -> bytes:
        path = [*self._folder, name]
        return bytes(self._ole.openstream(path).read()) if self._ole.exists(path) else b""


_RTF_START = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def unpack_rtf(data: bytes) -> bytes:
    """Compressed rich text as rich text. Raises: ValueError if it is damaged."""
    if len(data) < 16:
        raise ValueError("compressed text is cut short")
    _, raw_size, kind, _ = struct.unpack("<LL4sL", data[:16])
    if kind == b"MELA":
        return data[16 : 16 + raw_size]
    if kind != b"LZFu":
        raise ValueError("text is packed in an unknown way")
    window = bytearray(_RTF_START.ljust(4096, b" "))
    write, out, at, limit = len(_RTF_START), bytearray(), 16, min(raw_size, MAX_RTF_BYTES)
    while at < len(data) and len(out) < limit:
        flags, at = data[at], at + 1
        for bit in range(8):
            if at >= len(data):
                break
            if flags >> bit & 1:
                token, at = int.from_bytes(data[at : at + 2], "big"), at + 2
                offset, length = token >> 4, (token & 15) + 2
                if offset == write:
                    return bytes(out)
                piece = bytearray()
                for step in range(length):
                    byte = window[(offset + step) % 4096]
                    window[write], write = byte, (write + 1) % 4096
                    piece.append(byte)
                out += piece
            else:
                out.append(data[at])
                window[write], write, at = data[at], (write + 1) % 4096, at + 1
    return bytes(out)
