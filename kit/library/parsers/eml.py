"""E-mail: who, when, about what, the body, and attachments read by the other parsers.

Invariant: an attachment that cannot be read costs a note, never the message.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from email import message_from_binary_file, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder, one_line

MAX_DEPTH = 2  # messages inside messages
MAX_ATTACHMENTS = 50
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def parse(path: Path) -> ParsedDocument:
    """Section 'message', then the attachments' own sections under their names."""
    with path.open("rb") as stream:
        message = message_from_binary_file(stream, policy=policy.default)
    builder, notes = TextBuilder(), list[str]()
    _write_message(builder, message, notes, 0)
    return builder.finish(title=_header(message, "Subject"), notes=notes)


def _write_message(
    builder: TextBuilder, message: EmailMessage, notes: list[str], depth: int
) -> None:
    builder.begin("message", _label(message))
    builder.paragraph(
        "\n".join(f"{name}: {value}" for name in _HEADERS if (value := _header(message, name)))
    )
    builder.paragraph(_body(message, notes))
    for number, part in enumerate(_attachments(message)):
        if number >= MAX_ATTACHMENTS:
            notes.append(f"only the first {MAX_ATTACHMENTS} attachments were read")
            break
        _write_attachment(builder, part, notes, depth)


def _label(message: EmailMessage) -> str:
    sender, date = _header(message, "From"), message["Date"]
    day = getattr(date, "datetime", None)
    return f"e-mail from {sender or 'unknown'}" + (f", {day:%Y-%m-%d}" if day else "")


def _header(message: EmailMessage, name: str) -> str:
    try:
        return one_line(str(message[name] or ""))
    except (ValueError, LookupError, AttributeError, IndexError, TypeError):
        return ""  # the standard library's header parser fails on some malformed headers


def _body(message: EmailMessage, notes: list[str]) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    text = _content(cast(EmailMessage, part), notes)
    if part.get_content_type() == "text/html":
        from kit.library.parsers.html import parse_html

        return parse_html(text).text
    return text


def _content(part: EmailMessage, notes: list[str]) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # an unknown character set
        notes.append("part of the message is in an unknown encoding")
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    """Parts that are files: they have a name, or are messages themselves."""
    body = message.get_body(preferencelist=("plain", "html"))
    for part in _leaves(message):
        if part is not body and (
            part.get_filename() or part.get_content_type() == "message/rfc822"
        ):
            yield part


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    for part in cast("list[EmailMessage]", list(message.iter_parts())):
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            yield from _leaves(part)
        else:
            yield part


def _write_attachment(
    builder: TextBuilder, part: EmailMessage, notes: list[str], depth: int
) -> None:
    name = one_line(part.get_filename() or "message.eml")
    if part.get_content_maintype() in ("image", "audio", "video"):
        notes.append(f"attachment {name} was not read: {part.get_content_type()}")
        return
    if depth >= MAX_DEPTH:
        notes.append(f"attachment {name} was not read: messages are nested too deeply")
        return
    try:
        if part.get_content_type() == "message/rfc822":
            _write_message(builder, cast(EmailMessage, part.get_content()), notes, depth + 1)
            return
        payload = part.get_payload(decode=True)
        parsed = _parse_bytes(payload if isinstance(payload, bytes) else b"", name)
    except (DocumentRefused, LookupError, ValueError) as problem:
        notes.append(f"attachment {name} was not read: {problem}")
        return
    _append(builder, parsed, name)
    notes.extend(f"attachment {name}: {note}" for note in parsed.notes)


def _parse_bytes(data: bytes, name: str) -> ParsedDocument:
    from kit.library.parsers import parse as parse_file

    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "attachment"
        path.write_bytes(data)
        return parse_file(path, name)


def _append(builder: TextBuilder, parsed: ParsedDocument, name: str) -> None:
    """An attachment's sections under its name, without pages: they are not the message's."""
    for section in parsed.sections:
        label = f"attachment {name}" + (f" > {section.label}" if section.label else "")
        builder.begin(section.kind, label)
        builder.add_clean(parsed.text[section.start : section.end])
