"""E-mail as the network carries it (EML).

Knows MIME; what becomes of a message is `mail`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email import message_from_binary_file, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import cast

from kit.library.documents import ParsedDocument
from kit.library.parsers.clean import one_line
from kit.library.parsers.mail import Attachment, Mail, read_mail, whole_body

# What the standard library's header parser throws at some malformed headers.
_MALFORMED = (ValueError, LookupError, AttributeError, OverflowError, TypeError)
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def parse(path: Path) -> ParsedDocument:
    """Section 'message', then the attachments' own sections under their names."""
    return read_mail(open_eml(path))


def open_eml(path: Path) -> Mail:
    """The message; attachments are decoded when they are asked for."""
    with path.open("rb") as stream:
        return _mail(message_from_binary_file(stream, policy=policy.default))


def _mail(message: EmailMessage) -> Mail:
    headers = [(name, value) for name in _HEADERS if (value := _header(message, name))]
    notes: list[str] = []
    return Mail(
        sender=_header(message, "From"),
        subject=_header(message, "Subject"),
        headers=headers,
        body=_body(message, notes),
        attachments=list(_attachments(message)),
        sent_at=_sent_at(message),
        notes=notes,
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return one_line(str(message[name] or ""))
    except _MALFORMED:
        return ""


def _sent_at(message: EmailMessage) -> datetime | None:
    try:
        return getattr(message["Date"], "datetime", None)
    except _MALFORMED:
        return None


def _body(message: EmailMessage, notes: list[str]) -> str:
    """The plain text, and what only the HTML of it says; or else the HTML alone."""
    from kit.library.parsers.html import parse_html

    plain, page = (message.get_body(preferencelist=(kind,)) for kind in ("plain", "html"))
    text = _content(cast(EmailMessage, plain), notes) if plain is not None else ""
    if page is None:
        return text
    parsed = parse_html(_content(cast(EmailMessage, page), notes))
    notes += parsed.notes
    return whole_body(text, parsed) if text.strip() else parsed.text


def _content(part: EmailMessage, notes: list[str]) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # an unknown character set
        notes.append("part of the message is in an unknown encoding")
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _attachments(message: EmailMessage) -> Iterator[Attachment]:
    """Parts that are files: they have a name, or are messages themselves."""
    bodies = [message.get_body(preferencelist=(kind,)) for kind in ("plain", "html")]
    for part in _leaves(message):
        is_message = part.get_content_type() == "message/rfc822"
        if any(part is body for body in bodies) or not (part.get_filename() or is_message):
            continue
        yield Attachment(
            name=part.get_filename() or "message.eml",
            load=partial(_load, part),
            media_type=part.get_content_type(),
            is_inline=part["Content-ID"] is not None and part.get_content_maintype() == "image",
        )


def _load(part: EmailMessage) -> bytes | Mail:
    if part.get_content_type() == "message/rfc822":
        return _mail(cast(EmailMessage, part.get_content()))
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    for part in cast("list[EmailMessage]", list(message.iter_parts())):
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            yield from _leaves(part)
        else:
            yield part
