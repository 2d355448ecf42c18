"""What a file is: by its first bytes, then by the ending of its name.

Reads only what it needs of the file. Invariant: a zip is opened only after its directory proved
that it unpacks to a sane size.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from kit.errors import DocumentRefused
from kit.files import format_bytes
from kit.library.parsers.decode import decode_text, looks_binary

Format = Literal[
    "pdf", "docx", "pptx", "xlsx", "odt", "ods", "odp", "xls", "rtf", "epub", "csv", "html",
    "markdown", "text", "eml", "msg", "image", "excel xml",
    "doc", "ppt",
]  # fmt: skip
_IMAGE_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")

_ODF_PARTS = {"content.xml", "styles.xml", "meta.xml"}
_ODF_KINDS: tuple[tuple[bytes, Format], ...] = (
    (b"text", "odt"), (b"spreadsheet", "ods"), (b"presentation", "odp"),
)  # fmt: skip

_LOCKED_PRESENTATION = b"\xdf\xc4\xd1\xf3"

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
    ".pptm": "pptx", ".ppsx": "pptx", ".xlsx": "xlsx", ".xlsm": "xlsx", ".odt": "odt",
    ".ott": "odt", ".ods": "ods", ".ots": "ods", ".odp": "odp", ".otp": "odp", ".xls": "xls",
    ".xlt": "xls", ".rtf": "rtf", ".epub": "epub", ".msg": "msg", ".png": "image", ".jpg": "image",
    ".jpeg": "image", ".tif": "image", ".tiff": "image", ".webp": "image", ".bmp": "image",
    ".gif": "image", ".doc": "doc", ".dot": "doc", ".ppt": "ppt", ".pps": "ppt", ".pot": "ppt",
}  # fmt: skip
_NAMES: dict[Format, str] = {
    "pdf": "a PDF", "docx": "a Word document (DOCX)", "pptx": "a PowerPoint presentation (PPTX)",
    "xlsx": "an Excel workbook", "csv": "a table", "html": "a web page", "markdown": "Markdown",
    "text": "plain text", "eml": "an e-mail", "odt": "an OpenDocument text",
    "ods": "an OpenDocument spreadsheet", "odp": "an OpenDocument presentation",
    "xls": "an Excel workbook of before 2007", "rtf": "a Rich Text document",
    "epub": "an e-book (EPUB)", "msg": "an Outlook message", "image": "a picture",
    "excel xml": "an Excel workbook as XML of 2003", "doc": "a Word document of before 2007",
    "ppt": "a presentation of before 2007",
}  # fmt: skip

_UNPACK_HINT = "unpack it and add the files inside"
_REFUSED_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip-compressed file", _UNPACK_HINT),
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


def shows_pages(name: str) -> bool:
    """Whether the pages of a file of that name can be drawn: of a PDF, or a picture."""
    return _EXPECTED.get(PurePosixPath(name.lower()).suffix) in ("pdf", "image")


def _from_magic(path: Path, head: bytes) -> Format | None:
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _inside_zip(path)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _inside_ole(path)
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if _is_picture(head):
        return "image"
    if _is_tar(head):
        raise _refused("a tar archive", _UNPACK_HINT)
    for magic, what, hint in _REFUSED_MAGIC:
        if head.startswith(magic) and (len(magic) > 2 or looks_binary(head)):
            raise _refused(what, hint)
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE")):
        raise _refused("a recording or a picture (MP4, HEIC, AVI, WAV)", "add a written transcript")
    return None


def _is_picture(head: bytes) -> bool:
    return (
        head.startswith(_IMAGE_MAGIC)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and looks_binary(head))
    )


def _is_tar(head: bytes) -> bool:
    """Told by the mark in its first header block, also inside gzip."""
    if head.startswith(b"\x1f\x8b"):
        with contextlib.suppress(zlib.error):
            head = zlib.decompressobj(wbits=31).decompress(head, 512)
    return head[257:262] == b"ustar"


def _inside_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_zip(path, members)
            names = {member.filename for member in members}
            if "[Content_Types].xml" not in names:
                return _inside_open_zip(archive, names)
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
        raise encrypted()


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


def _inside_open_zip(archive: zipfile.ZipFile, names: set[str]) -> Format:
    """OpenDocument and e-books say what they are in a part named 'mimetype'."""
    kind = archive.read("mimetype")[:100].strip() if "mimetype" in names else b""
    if kind.startswith(b"application/epub+zip") or (
        "META-INF/container.xml" in names and any(name.endswith(".opf") for name in names)
    ):
        return "epub"
    if not kind.startswith(b"application/vnd.oasis.opendocument"):
        raise _refused("a zip archive", _UNPACK_HINT)
    parts = [part for part in archive.infolist() if part.filename in _ODF_PARTS]
    _check_no_dtd(archive, parts)
    if b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise encrypted()
    for word, format in _ODF_KINDS:
        if kind.removeprefix(b"application/vnd.oasis.opendocument.").startswith(word):
            return format
    raise _refused("an OpenDocument file of a kind that is not read", "export it as PDF")


def _inside_ole(path: Path) -> Format:
    """Word, Excel and PowerPoint before 2007, Outlook, and today's Office files with a password."""
    import olefile

    try:
        with olefile.OleFileIO(path) as ole:
            streams = {"/".join(entry) for entry in ole.listdir()}
            is_locked = _is_locked(ole, streams)
    except Exception as problem:  # olefile has errors of its own, and passes others on
        raise DocumentRefused(
            f"the file is cut short or damaged ({problem})",
            hint="copy or download it again, then add it again",
        ) from problem
    if is_locked:
        raise encrypted()
    if "__properties_version1.0" in streams:
        return "msg"
    if streams & {"Workbook", "Book", "WORKBOOK", "BOOK"}:
        return "xls"
    if "WordDocument" in streams:
        return "doc"
    if "PowerPoint Document" in streams:
        return "ppt"
    raise _refused("an old Office file", "save it as DOCX, XLSX, PPTX or PDF and add that")


def _is_locked(ole: Any, streams: set[str]) -> bool:
    """Whether it has a password: [MS-OFFCRYPTO], [MS-DOC] FibBase, [MS-PPT] CurrentUserAtom."""
    if "WordDocument" in streams:
        flags = ole.openstream("WordDocument").read(12)[11:]
        return bool(flags and flags[0] & 1)
    if "Current User" in streams:
        return bool(ole.openstream("Current User").read(16)[12:] == _LOCKED_PRESENTATION)
    return "EncryptedPackage" in streams


def _from_text(head: bytes, suffix: str) -> Format:
    if looks_binary(head):
        raise _refused(
            "neither text nor a document of a known kind",
            "see the formats that are read: docs/how-to/load-documents.md",
        )
    text, _ = decode_text(head, is_whole=False)
    start = text.lstrip().lower()[:2000]
    if re.match(
        r"(<\?xml[^>]*\?>\s*)?(<!--.*?-->\s*)*(<!doctype html|<html[\s>])", start, re.DOTALL
    ):
        return "html"
    if start.startswith("<") and (format := _inside_xml(start)):
        return format
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return "eml" if _looks_like_mail(text) else "text"


def _inside_xml(start: str) -> Format | None:
    """Office files of 2003 and later that are one XML text; other XML is read as the text it is."""
    if "urn:schemas-microsoft-com:office:spreadsheet" in start:
        return "excel xml"
    if "schemas.microsoft.com/office/word/2003/wordml" in start or "<pkg:package" in start:
        raise _refused("an Office document as XML", "save it as DOCX, XLSX or PPTX and add that")
    return None


def _looks_like_mail(text: str) -> bool:
    header = text.lstrip("\n").split("\n\n", 1)[0]
    names = {m.lower() for m in re.findall(r"^([A-Za-z][A-Za-z0-9-]*):", header, re.MULTILINE)}
    return {"from", "subject"} <= names and bool(
        names & {"message-id", "mime-version", "received", "return-path"}
    )


def _refused(what: str, hint: str) -> DocumentRefused:
    return DocumentRefused(f"the file is {what}, which is not read", hint=hint)


def encrypted() -> DocumentRefused:
    return DocumentRefused(
        "the file is encrypted with a password",
        hint="open it with the password, save a copy without one, and add that",
    )
