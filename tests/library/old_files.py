"""Old and odd files written by hand for the parsers' tests: OLE, MSG, XLS, ODF, EPUB."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
Tree = Mapping[str, "bytes | Tree"]


def ole(tree: Tree) -> bytes:
    """An OLE file (version 3) of these storages and streams; streams are padded to 4096 bytes,
    so that all of them are in ordinary sectors."""
    entries: list[list[object]] = []  # name, kind, left, right, child, start, size
    sectors: list[bytes] = []
    fat: list[int] = []

    def store(data: bytes) -> int:
        first, count = len(sectors), max(1, -(-len(data) // 512))
        for number in range(count):
            sectors.append(data[number * 512 : number * 512 + 512].ljust(512, b"\0"))
            fat.append(first + number + 1 if number + 1 < count else _END)
        return first

    def add(name: str, content: bytes | Tree) -> int:
        number = len(entries)
        entry: list[object] = [name, 2, _FREE, _FREE, _FREE, 0, 0]
        entries.append(entry)
        if isinstance(content, bytes):
            entry[5], entry[6] = store(content.ljust(4096, b"\0")), max(4096, len(content))
            return number
        entry[1] = 1 if number else 5
        before = _FREE  # siblings as a list leaning right, in the order that OLE asks for
        for child in sorted(content, key=lambda one: (-len(one), one.upper()), reverse=False):
            one = add(child, content[child])
            entries[one][2] = before
            before = one
        entry[4] = before
        return number

    add("Root Entry", tree)
    entries[0][5] = _END
    raw = b"".join(_entry(*entry) for entry in entries)  # type: ignore[arg-type]
    directory = store(raw)
    num_fat = 1
    while (len(sectors) + num_fat) > num_fat * 128:
        num_fat += 1
    places = list(range(len(sectors), len(sectors) + num_fat))
    table = struct.pack(f"<{len(fat)}I", *fat) + struct.pack("<I", _FAT) * num_fat
    table = table.ljust(num_fat * 512, b"\xff")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, num_fat, directory, 0, 4096,
                        _END, 0, _END, 0)  # fmt: skip
    head += struct.pack("<109I", *(places + [_FREE] * 109)[:109])
    return head + b"".join(sectors) + table


def _entry(name: str, kind: int, left: int, right: int, child: int, start: int, size: int) -> bytes:
    raw = name.encode("utf-16-le")
    return (
        raw.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(raw) + 2, kind, 1, left, right, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )


def msg(
    texts: Mapping[int, str],
    *,
    files: Mapping[str, bytes] | None = None,
    header_bytes: int = 32,
    inner: Tree | None = None,
    sent_at: datetime | None = None,
) -> dict[str, bytes | Tree]:
    """The tree of an Outlook message: text properties by number, attachments by name."""
    tree: dict[str, bytes | Tree] = {
        "__properties_version1.0": bytes(header_bytes)
        + (struct.pack("<HHI", 0x40, 0x39, 6) + filetime(sent_at) if sent_at else b"")
    }
    for number, text in texts.items():
        tree[f"__substg1.0_{number:04X}001F"] = text.encode("utf-16-le")
    for number, (name, data) in enumerate((files or {}).items()):
        tree[f"__attach_version1.0_#{number:08X}"] = {
            "__properties_version1.0": bytes(8),
            "__substg1.0_3707001F": name.encode("utf-16-le"),
            "__substg1.0_37010102": data,
        }
    if inner is not None:
        tree["__attach_version1.0_#00000099"] = {
            "__properties_version1.0": bytes(8), "__substg1.0_3701000D": inner,
        }  # fmt: skip
    return tree


def filetime(moment: datetime) -> bytes:
    """A moment as Windows counts it: tenths of microseconds since 1601."""
    since = moment - datetime(1601, 1, 1, tzinfo=UTC)
    return struct.pack("<Q", 10 * (since // timedelta(microseconds=1)))


def summary(times: Mapping[int, datetime]) -> Tree:
    """What an OLE file says of itself: 12 is when it was made, 13 when it was last saved."""
    listed, values = b"", b""
    for number, moment in times.items():
        listed += struct.pack("<II", number, 8 + 8 * len(times) + len(values))
        values += struct.pack("<I", 0x40) + filetime(moment)
    section = struct.pack("<II", 8 + len(listed) + len(values), len(times)) + listed + values
    kind = bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")
    head = struct.pack("<HHI16xI", 0xFFFE, 0, 0x20005, 1) + kind + struct.pack("<I", 48)
    return {"\x05SummaryInformation": head + section}


def xls(
    sheet: str,
    rows: list[list[str | float]],
    said: Tree | None = None,
    *,
    more: bytes = b"",
) -> bytes:
    """A workbook (BIFF8) of one sheet, and what it says of itself (`summary`); `more` are records
    for the book as a whole."""

    def record(kind: int, data: bytes) -> bytes:
        return struct.pack("<HH", kind, len(data)) + data

    def text(value: str) -> bytes:
        return struct.pack("<HB", len(value), 1) + value.encode("utf-16-le")

    cells = b""
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            place = struct.pack("<HHH", y, x, 0)
            if isinstance(value, str):
                cells += record(0x0204, place + text(value))
            else:
                cells += record(0x0203, place + struct.pack("<d", value))
    start, end = struct.pack("<HHHHII", 0x0600, 5, 0x2000, 1997, 0, 6), record(0x0A, b"")
    name = struct.pack("<BB", len(sheet), 1) + sheet.encode("utf-16-le")
    globals_bytes = len(record(0x809, start)) + len(record(0x85, bytes(6) + name)) + len(more + end)
    book = (
        record(0x809, start)
        + record(0x85, struct.pack("<IH", globals_bytes, 0) + name)
        + more
        + end
    )
    begin = struct.pack("<HHHHII", 0x0600, 0x10, 0x2000, 1997, 0, 6)
    return ole({"Workbook": book + record(0x809, begin) + cells + end, **(said or {})})


_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_NAMES = " ".join(
    f'xmlns:{short}="{_ODF}{long}:1.0"'
    for short, long in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
        ("style", "style"), ("fo", "xsl-fo-compatible"), ("presentation", "presentation"),
        ("meta", "meta"),
        ("svg", "svg-compatible"),
    )
)  # fmt: skip
_NAMES += ' xmlns:dc="http://purl.org/dc/elements/1.1/"'


def odf(kind: str, body: str, styles: str = "", meta: str = "") -> bytes:
    """An OpenDocument package: kind is 'text', 'spreadsheet' or 'presentation'."""
    content = (
        f"<office:document-content {_NAMES}><office:automatic-styles>{styles}"
        f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}>"
        "</office:body></office:document-content>"
    )
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "META-INF/manifest.xml": "<manifest/>",
            "content.xml": content,
            "meta.xml": f"<office:document-meta {_NAMES}><office:meta>{meta}</office:meta>"
            "</office:document-meta>",
        }
    )


def epub(chapters: Mapping[str, str], names: Mapping[str, str], said: str = "") -> bytes:
    """An e-book of XHTML chapters by file name, with the table of contents' names."""
    items = "".join(f'<item id="{n}" href="{n}"/>' for n in chapters)
    spine = "".join(f'<itemref idref="{n}"/>' for n in chapters)
    links = "".join(f'<li><a href="{href}">{text}</a></li>' for href, text in names.items())
    opf = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:opf="http://www.idpf.org/2007/opf">'
        f"<dc:title>The Book</dc:title>{said}</metadata>"
        f'<manifest><item id="nav" href="nav.xhtml" properties="nav"/>{items}</manifest>'
        f"<spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    pages = {
        f"OEBPS/{name}": f"<html><body>{text}</body></html>" for name, text in chapters.items()
    }
    nav = f'<html xmlns="http://www.w3.org/1999/xhtml"><body><ol>{links}</ol></body></html>'
    return zipped(
        {"mimetype": "application/epub+zip", "META-INF/container.xml": container,
         "OEBPS/book.opf": opf, "OEBPS/nav.xhtml": nav, **pages}
    )  # fmt: skip


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()
