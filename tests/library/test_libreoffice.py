"""Files that only LibreOffice reads, without it: asked for first, refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from kit.errors import DocumentRefused
from kit.library.parsers import libreoffice, parse
from kit.library.parsers.libreoffice import LibreOfficeNeeded, missing_packages
from kit.library.reading import read_file
from kit.library.reading.read_file import parse_in_child
from tests.library.old_files import ole

LIMITS = {"timeout_s": 20.0, "memory_mb": 1024}
WORD = ole({"WordDocument": bytes(600)})


@pytest.fixture(autouse=True)
def as_from_the_start() -> Iterator[None]:
    yield
    libreoffice.refuse()


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def message_with_word() -> bytes:
    message = EmailMessage()
    message["From"] = "Ann"
    message.set_content("The rules are attached.")
    message.add_attachment(WORD, maintype="application", subtype="msword", filename="rules.doc")
    return bytes(message)


@pytest.mark.parametrize("name", ["rules.doc", "rules.eml"])
def test_it_is_asked_for_first(tmp_path: Path, name: str) -> None:
    """A child that was not told of it says that it is needed, also for an attachment."""
    data = WORD if name.endswith("doc") else message_with_word()
    libreoffice.ask_first()
    with pytest.raises(LibreOfficeNeeded):
        parse(written(tmp_path, name, data), name)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    """LibreOffice without what reads Word files is not started; the package is said."""
    program = tmp_path / "office" / "program"
    program.mkdir(parents=True)
    (program / "libsdlo.so").touch()
    libreoffice.use(program)
    with pytest.raises(DocumentRefused, match="without its part") as refusal:
        parse(written(tmp_path, "a.doc", WORD), "a.doc")
    assert "libreoffice-writer" in str(refusal.value.hint)


def test_a_system_that_cannot_close_it_in_is_said(tmp_path: Path) -> None:
    """Installing more would not help there, so only another format is advised."""
    libreoffice.refuse("this system cannot close LibreOffice in (Landlock and seccomp)")
    with pytest.raises(DocumentRefused, match="cannot close LibreOffice in") as refusal:
        parse(written(tmp_path, "a.doc", WORD), "a.doc")
    assert refusal.value.hint == "save it as DOCX and add that"


def test_without_it_a_message_keeps_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is read, its attachment is a remark; a file of its own is refused."""
    monkeypatch.setattr(read_file, "find_libreoffice", lambda: None)
    path = written(tmp_path, "rules.eml", message_with_word())
    parsed = parse_in_child(path, path.name, work_folder=tmp_path / "work", **LIMITS)  # type: ignore[arg-type]
    assert "The rules are attached." in parsed.text
    assert any("rules.doc was not read" in note for note in parsed.notes)
    path = written(tmp_path, "rules.doc", WORD)
    with pytest.raises(DocumentRefused, match="not installed") as refusal:
        parse_in_child(path, path.name, work_folder=tmp_path / "work", **LIMITS)  # type: ignore[arg-type]
    assert "apt-get install libreoffice-writer" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("name", "streams"),
    [
        ("a.doc", {"WordDocument": b"\xec\xa5\xc1\0\x03\x80\x09\x04\0\0\xf8\x13" + bytes(600)}),
        ("a.ppt", {"PowerPoint Document": b"x",
                   "Current User": bytes(12) + b"\xdf\xc4\xd1\xf3" + bytes(20)}),
    ],
)  # fmt: skip
def test_a_password_is_seen_before_it_is_started(
    tmp_path: Path, name: str, streams: dict[str, bytes]
) -> None:
    """A locked file is told from a damaged one."""
    libreoffice.ask_first()
    with pytest.raises(DocumentRefused, match="password"):
        parse(written(tmp_path, name, ole(streams)), name)


def test_packages_for_servers_count_as_missing(tmp_path: Path) -> None:
    """Without the descriptions of windows some files do not open: the doctor names the others."""
    program = tmp_path / "program"
    program.mkdir()
    assert missing_packages(None) == ["libreoffice-writer", "libreoffice-impress"]
    for name in ("libswlo.so", "libsdlo.so"):
        (program / name).touch()
    assert missing_packages(program) == ["libreoffice-writer", "libreoffice-impress"]
    windows = tmp_path / "share/config/soffice.cfg/modules/swriter/ui"
    windows.mkdir(parents=True)
    (windows / "inspector.ui").touch()
    assert missing_packages(program) == ["libreoffice-impress"]
