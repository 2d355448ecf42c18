"""A running kit: after rm and purge not one byte of its home tells of the document."""

from __future__ import annotations

import io
import secrets
import urllib.request
import zlib
from pathlib import Path

import pytest

from kit.answer.events import Finished
from kit.cli.remote import RemoteKit
from kit.engine.pins import pinned
from tests.e2e.drive import RunningKit

pytestmark = pytest.mark.e2e
SKIPPED = ("models", "engine")  # linked from elsewhere, written before the token was drawn


def make_pdf(title: str, lines: list[str]) -> bytes:
    """A PDF of one page; its stream is not compressed, so its text is in its bytes."""
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    stream = f"BT /F1 11 Tf 14 TL 50 780 Td {shown} ET".encode()
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) >>" % title.encode(),
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(bodies) + 1)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def where(home: Path, token: str) -> set[str]:
    """Files that hold the token: as it is, in capitals, as UTF-16, without its beginning (as a
    full-text index may hold it), or in a zlib stream; and files that are called so."""
    found = set()
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if name.split("/")[0] in SKIPPED or not (path.is_file() and not path.is_symlink()):
            continue
        data = path.read_bytes()
        data += b"".join(inflated(data, at) for at in find_all(data, (b"\x78\x9c", b"\x78\xda")))
        words = (token.encode(), token.upper().encode(), token.encode("utf-16-le"))
        if token in name or any(word in data for word in (*words, token[10:].encode())):
            found.add(name)
    return found


def find_all(data: bytes, marks: tuple[bytes, ...]) -> list[int]:
    places = []
    for mark in marks:
        at = data.find(mark)
        while at >= 0:
            places.append(at)
            at = data.find(mark, at + 1)
    return places


def inflated(data: bytes, at: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data[at : at + (1 << 20)], 1 << 20)
    except zlib.error:
        return b""


def test_after_rm_and_purge_nothing_is_left(kit: RunningKit) -> None:
    """Planted as text, name, title and bytes of a PDF; loaded, searched, asked, cited, shown as a
    picture; removed and purged: no file of the home holds it, and the answers are emptied."""
    token = secrets.token_hex(16)
    data = make_pdf(
        f"Key {token}",
        [f"The maintenance key of the greenhouse is {token}.", "The gardener keeps it."],
    )
    remote = RemoteKit(kit.url, kit.instance.token)
    record = remote.add(io.BytesIO(data), f"greenhouse-{token}.pdf", "library")
    remote.read_documents([record.id], lambda _: None)
    assert remote.document(record.id).state == "indexed"
    found = remote.search(token, top_k=5, collection=None).hits
    assert any(hit.document_id == record.id for hit in found)
    chat = remote.new_conversation()
    (answer,) = [
        event.answer
        for event in remote.ask(
            f"What is the maintenance key of the greenhouse, is it {token}?",
            collection=None,
            conversation_id=chat,
            document_id=record.id,  # so that the engine keeps it on disk, too
        )
        if isinstance(event, Finished)
    ]
    assert answer.citations or answer.closest
    address = f"{kit.url}/api/v1/documents/{record.id}/pages/1.png?start=0&end=40"
    bearer = {"Authorization": f"Bearer {kit.instance.token}"}
    with urllib.request.urlopen(urllib.request.Request(address, headers=bearer)) as picture:
        assert picture.read(8) == b"\x89PNG\r\n\x1a\n"
    assert kit.get(f"/passage?document={record.id}")[0] == 200
    before = where(kit.home, token)
    assert {name.split("/")[0] for name in before} >= {"originals"}
    assert before & {"kit.db", "kit.db-wal"}

    remote.remove(record.id)
    done = remote.purge()
    remote.close()
    assert done["is_complete"], done
    assert where(kit.home, token) == set()
    assert not any(record.id in name for name in pinned(kit.home / "prefixes").values())
    status, text = kit.get(f"/api/v1/conversations/{chat}")
    assert status == 200
    assert token not in text
    assert "This was emptied" in text
    assert kit.health()["index"] == "ready"
