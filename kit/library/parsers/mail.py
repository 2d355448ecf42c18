"""A message as its formats share it: who, when, about what, the body, and attachments.

Knows no file format of messages. Invariant: an attachment that cannot be read costs a remark,
never the message.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kit.errors import DocumentRefused
from kit.files import format_bytes
from kit.library.dates import own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import TextBuilder
from kit.library.parsers.clean import one_line

MAX_DEPTH = 2  # messages inside messages
MAX_ATTACHMENTS = 50  # of a message and all that is inside it
MAX_ATTACHED_BYTES = 200 << 20  # together


@dataclass(frozen=True)
class Attachment:
    """A file, or a message, that came with a message."""

    name: str
    load: Callable[[], bytes | Mail]
    media_type: str = ""
    is_inline: bool = False
    """Shown inside the body, as the logo of a signature is."""


@dataclass(frozen=True)
class Mail:
    """One message. Header values and body are text, not yet cleaned."""

    sender: str
    subject: str
    headers: Sequence[tuple[str, str]]
    body: str
    attachments: Sequence[Attachment] = ()
    sent_at: datetime | None = None
    notes: Sequence[str] = field(default=())


def whole_body(plain: str, page: ParsedDocument) -> str:
    """The plain text, then those paragraphs of the same message as a web page whose words it lacks.

    Programs write "see the HTML version", or leave tables and whole parts out of the plain text.
    """
    known = set(_words(plain))
    lacking = []
    for paragraph in page.text.split("\n\n"):
        words = set(_words(paragraph))
        if 2 * len(words - known) > len(words):
            lacking.append(paragraph.strip())
    if not lacking:
        return plain
    return "\n\n".join((plain.strip(), "Only in the HTML version:", *lacking)).strip()


def _words(text: str) -> list[str]:
    """Words, and each Chinese, Japanese or Korean character, which stand without blanks."""
    return re.findall(r"[\u3040-\u9fff\uac00-\ud7af]|\w+", text.casefold())


def read_mail(mail: Mail) -> ParsedDocument:
    """Section 'e-mail from …', then the attachments' own sections under their names."""
    writer = _Writer()
    writer.write(mail)
    notes = list(dict.fromkeys(writer.notes))
    sent = own_date((mail.sent_at.date().isoformat(), "sent")) if mail.sent_at else None
    return writer.builder.finish(title=mail.subject, notes=notes, dated=sent)


class _Writer:
    def __init__(self) -> None:
        self.builder, self.notes = TextBuilder(), list[str]()
        self._num_attachments = self._num_bytes = 0

    def write(self, mail: Mail, *, part: tuple[int, ...] = ()) -> None:
        """The message and what is inside it; `part` is the way to it from the outermost."""
        day = f", {mail.sent_at:%Y-%m-%d}" if mail.sent_at else ""
        self.builder.begin("message", f"e-mail from {mail.sender or 'unknown'}{day}")
        self.builder.paragraph("\n".join(f"{name}: {value}" for name, value in mail.headers))
        self.builder.paragraph(mail.body)
        self.notes += mail.notes
        for position, attachment in enumerate(mail.attachments):
            if self._num_attachments >= MAX_ATTACHMENTS:
                self.notes.append(f"only the first {MAX_ATTACHMENTS} attachments were read")
                break
            self._num_attachments += 1
            self._attachment(attachment, (*part, position))

    def _attachment(self, attachment: Attachment, part: tuple[int, ...]) -> None:
        name = one_line(attachment.name)
        try:
            if attachment.media_type.startswith(("audio/", "video/")):
                raise DocumentRefused(f"it is {attachment.media_type}")
            if len(part) > MAX_DEPTH:
                raise DocumentRefused("messages are nested too deeply")
            content = attachment.load()
            if isinstance(content, Mail):
                self.write(content, part=part)
                return
            parsed = self._parse(content, name)
        except (DocumentRefused, LookupError, ValueError) as problem:
            if not attachment.is_inline:
                self.notes.append(f"attachment {name} was not read: {problem}")
            return
        self._append(parsed, name, part)
        self.notes += [f"attachment {name}: {note}" for note in parsed.notes]

    def _parse(self, data: bytes, name: str) -> ParsedDocument:
        from kit.library.parsers import parse as parse_file

        self._num_bytes += len(data)
        if self._num_bytes > MAX_ATTACHED_BYTES:
            limit = format_bytes(MAX_ATTACHED_BYTES)
            raise DocumentRefused(f"together the attachments are larger than {limit}")
        with tempfile.TemporaryDirectory(dir=".") as folder:
            path = Path(folder) / "attachment"
            path.write_bytes(data)
            return parse_file(path, name)

    def _append(self, parsed: ParsedDocument, name: str, part: tuple[int, ...]) -> None:
        """An attachment's sections under its name, without pages: they are not the message's."""
        scans = {scan.section: scan for scan in parsed.scans}
        for number, section in enumerate(parsed.sections):
            label = f"attachment {name}" + (f" > {section.label}" if section.label else "")
            if scan := scans.get(number):
                self.builder.scan(label, None, scan.source_page, part=(*part, *scan.part))
            else:
                self.builder.begin(section.kind, label)
            self.builder.add_clean(parsed.text[section.start : section.end])
