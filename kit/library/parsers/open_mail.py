"""The message in a file, whichever format it is in: what asks for one of its attachments again."""

from __future__ import annotations

from pathlib import Path

from kit.errors import DocumentRefused
from kit.library.parsers import eml, msg
from kit.library.parsers.detect import detect_format
from kit.library.parsers.mail import Mail


def open_mail(path: Path, name: str) -> Mail:
    """The message in a file. Raises: DocumentRefused if it is none."""
    format = detect_format(path, name).format
    if format not in ("eml", "msg"):
        raise DocumentRefused(f"{name} is no message")
    return eml.open_eml(path) if format == "eml" else msg.open_msg(path)
