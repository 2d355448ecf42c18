"""What a file is: by its first bytes, then by the ending of its name.

Reads only what it needs of the file. Invariant: a zip is opened only after its directory proved
that it unpacks to a sane size.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from kit.errors import DocumentRefused
from kit.files import format_bytes
from kit.library.parsers.decode import decode_text, looks_binary

Format = Literal["pdf", "docx", "pptx", "xlsx", "csv", "html", "markdown", "text", "eml"]

HEAD_BYTES = 64 << 10
MAX_ZIP_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 512 << 20
MAX_ZIP_RATIO = 250  # honest office files stay under 100; runs of zeros reach 1000
MIN_RATIO_BYTES = 32 << 20  # below this even an absurd ratio does no harm

_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".md": "markdown", ".markdown": "markdown", ".mdown": "markdown",
    ".eml": "eml",
}  # fmt: skip
_EXPECTED: dict[str, Format] = {
    **_BY_SUFFIX, ".pdf": "pdf", ".docx": "docx", ".docm": "docx", ".dotx": "docx", ".pptx": "pptx",
    ".pptm": "pptx", ".ppsx": "pptx", ".xlsx": "xlsx", ".xlsm": "xlsx",
}  # fmt: skip
_NAMES: dict[Format, str] = {
    "pdf": "a PDF", "docx": "a Word document", "pptx": "a PowerPoint presentation",
    "xlsx": "an Excel workbook", "csv": "a table", "html": "a web page", "markdown": "Markdown",
    "text": "plain text", "eml": "an e-mail",
}  # fmt: skip

_OCR_HINT = (
    "make a PDF with a text layer from it (OCR), and add that; this version does not read pictures"
)
_UNPACK_HINT = "unpack it and add the files inside"
_REFUSED_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG", "a picture (PNG)", _OCR_HINT),
    (b"\xff\xd8\xff", "a picture (JPEG)", _OCR_HINT),
    (b"GIF8", "a picture (GIF)", _OCR_HINT),
    (b"II*\0", "a picture (TIFF)", _OCR_HINT),
    (b"MM\0*", "a picture (TIFF)", _OCR_HINT),
    (b"BM", "a picture (BMP)", _OCR_HINT),
    (b"\x1f\x8b", "a gzip archive", _UNPACK_HINT),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK_HINT),
    (b"Rar!", "a RAR archive", _UNPACK_HINT),
    (b"BZh", "a bzip2 archive", _UNPACK_HINT),
    (b"\xfd7zXZ", "an xz archive", _UNPACK_HINT),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK_HINT),
    (b"\x7fELF", "a program", "add documents, not programs"),
    (b"MZ", "a Windows program", "add documents, not programs"),
    (b"SQLite format 3\0", "a database", "export the tables you need as CSV"),
    (b"ID3", "a sound recording", "add a written transcript"),
    (b"OggS", "a recording", "add a written transcript"),
    (b"%!PS", "a PostScript file", "convert it to PDF (ps2pdf)"),
    (b"{\\rtf", "a Rich Text (RTF) document", "save it as DOCX and add that"),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The format, and a remark if the name says something else."""

    format: Format
    notes: tuple[str, ...] = ()


def detect_format(path: Path, name: str) -> Found:
    """The format of a file that is not empty. Raises DocumentRefused for what is not read."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    suffix = PurePosixPath(name.lower()).suffix
    format = _from_magic(path, head) or _from_text(head, suffix)
    expected = _EXPECTED.get(suffix)
    if expected is None or expected == format:
        return Found(format)
    return Found(
        format, (f"named {suffix}, but the content is {_NAMES[format]}; it was read as that",)
    )


def _from_magic(path: Path, head: bytes) -> Format | None:
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _inside_zip(path)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _refuse_ole(path)
    for magic, what, hint in _REFUSED_MAGIC:
        if head.startswith(magic) and (len(magic) > 2 or looks_binary(head)):
            raise _refused(what, hint)
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE")):
        raise _refused("a recording or a picture (MP4, HEIC, AVI, WAV)", "add a written transcript")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise _refused("a picture (WebP)", _OCR_HINT)
    if head[257:262] == b"ustar":
        raise _refused("a tar archive", _UNPACK_HINT)
    return None


def _inside_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_zip(path, members)
            names = {member.filename for member in members}
            if "[Content_Types].xml" not in names:
                raise _refuse_zip(archive, names)
            _check_no_dtd(archive, members)
    except DocumentRefused:
        raise
    except Exception as problem:  # zipfile, zlib, struct and lzma each have errors of their own
        raise DocumentRefused(
            f"the file is cut short or damaged ({problem})",
            hint="copy or download it again, then add it again",
        ) from problem
    for folder, format in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if any(name.startswith(folder) for name in names):
            if format == "xlsx" and "xl/workbook.bin" in names:
                raise _refused("a binary Excel workbook (XLSB)", "save it as XLSX and add that")
            return format  # type: ignore[return-value]
    raise _refused("an Office file of a kind that is not read", "save it as DOCX, XLSX or PDF")


def _check_zip(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Threat: a zip bomb, which unpacks to thousands of times its size."""
    unpacked = sum(member.file_size for member in members)
    too_dense = unpacked > MIN_RATIO_BYTES and unpacked > MAX_ZIP_RATIO * path.stat().st_size
    if len(members) > MAX_ZIP_MEMBERS or unpacked > MAX_UNPACKED_BYTES or too_dense:
        raise DocumentRefused(
            f"the file would unpack to {format_bytes(unpacked)} in {len(members)} parts; "
            "that is not an ordinary document",
            hint="if you trust it, open it in its program and save it again, or export it as PDF",
        )
    if any(member.flag_bits & 1 for member in members):
        raise _encrypted()


def _check_no_dtd(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    """Threat: XML entities that grow without bound or name outside files. Office XML has no DTD."""
    for member in members:
        if member.filename.endswith((".xml", ".rels", ".vml")):
            with archive.open(member) as stream:
                head = stream.read(4096).replace(b"\0", b"")  # UTF-16 reads as ASCII without NULs
            if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
                raise DocumentRefused(
                    f"the file declares XML entities in {member.filename}; no Office program does",
                    hint="do not open it; ask the sender for a PDF",
                )


def _refuse_zip(archive: zipfile.ZipFile, names: set[str]) -> DocumentRefused:
    kind = archive.read("mimetype")[:100] if "mimetype" in names else b""
    if b"opendocument" in kind:
        return _refused("an OpenDocument file (ODT, ODS, ODP)", "save it as DOCX, XLSX or PDF")
    if b"epub" in kind:
        return _refused("an e-book (EPUB)", "convert it to PDF and add that")
    return _refused("a zip archive", _UNPACK_HINT)


def _refuse_ole(path: Path) -> DocumentRefused:
    """Word, Excel and PowerPoint before 2007, Outlook, and today's Office files with a password."""
    with path.open("rb") as stream:
        content = stream.read(16 << 20)

    def has(stream_name: str) -> bool:
        return stream_name.encode("utf-16-le") in content

    if has("EncryptedPackage"):
        return _encrypted()
    if has("WordDocument"):
        return _refused("a Word document of before 2007 (DOC)", "save it as DOCX and add that")
    if has("Workbook") or has("Book"):
        return _refused("an Excel workbook of before 2007 (XLS)", "save it as XLSX and add that")
    if has("PowerPoint Document"):
        return _refused("a presentation of before 2007 (PPT)", "save it as PPTX and add that")
    if has("__nameid_version1.0"):
        return _refused("an Outlook message (MSG)", "save it as EML or PDF and add that")
    return _refused("an old Office file", "save it as DOCX, XLSX, PPTX or PDF and add that")


def _from_text(head: bytes, suffix: str) -> Format:
    if looks_binary(head):
        raise _refused(
            "neither text nor a document of a known kind",
            "PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, text and EML files are read",
        )
    text, _ = decode_text(head, is_whole=False)
    start = text.lstrip().lower()[:2000]
    if re.match(
        r"(<\?xml[^>]*\?>\s*)?(<!--.*?-->\s*)*(<!doctype html|<html[\s>])", start, re.DOTALL
    ):
        return "html"
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return "eml" if _looks_like_mail(text) else "text"


def _looks_like_mail(text: str) -> bool:
    header = text.lstrip("\n").split("\n\n", 1)[0]
    names = {m.lower() for m in re.findall(r"^([A-Za-z][A-Za-z0-9-]*):", header, re.MULTILINE)}
    return {"from", "subject"} <= names and bool(
        names & {"message-id", "mime-version", "received", "return-path"}
    )


def _refused(what: str, hint: str) -> DocumentRefused:
    return DocumentRefused(f"the file is {what}, which is not read", hint=hint)


def _encrypted() -> DocumentRefused:
    return DocumentRefused(
        "the file is encrypted with a password",
        hint="open it with the password, save a copy without one, and add that",
    )
