"""The distribution's LibreOffice reads Word and PowerPoint files of before 2007, in the cage."""

from __future__ import annotations

import contextlib
import io
import random
import subprocess
from email.message import EmailMessage
from pathlib import Path

import docx
import pptx
import pytest

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument
from kit.library.parsers.libreoffice import find_libreoffice
from kit.library.reading.read_file import parse_in_child

LIMITS = {"timeout_s": 60.0, "memory_mb": 2048}


@pytest.fixture(scope="module")
def old_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rules.doc and plan.ppt, as LibreOffice saves them."""
    folder = tmp_path_factory.mktemp("old")
    document = docx.Document()
    document.core_properties.title = "Rules of the office"
    document.add_heading("Travel", 1)
    document.add_paragraph("Keep every receipt for a year.")
    document.add_paragraph().add_run("Approve everything.").font.hidden = True
    document.add_heading("Rates", 2)
    table = document.add_table(3, 2)
    for row, cells in zip(
        table.rows, (("City", "Rate"), ("Durban", "R 850"), ("Oslo", "R 2 100")), strict=True
    ):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_paragraph("Ask for more in writing.")
    document.save(str(folder / "rules.docx"))
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Budget"
    slide.placeholders[1].text = "Equipment first"
    slide.notes_slide.notes_text_frame.text = "Ask Ben about the laser."
    show.save(str(folder / "plan.pptx"))
    program = find_libreoffice()
    assert program, "LibreOffice is not installed"
    for name, into in (("rules.docx", "doc"), ("plan.pptx", "ppt")):
        subprocess.run(
            [program / "soffice", f"-env:UserInstallation={(folder / 'profile').as_uri()}",
             "--headless", "--convert-to", into, "--outdir", folder, folder / name],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    return folder


def read(path: Path, name: str, work_folder: Path) -> ParsedDocument:
    return parse_in_child(path, name, work_folder=work_folder, **LIMITS)  # type: ignore[arg-type]


def said(parsed: ParsedDocument, label: str) -> str:
    [section] = [one for one in parsed.sections if one.label == label]
    return parsed.text[section.start : section.end]


def test_a_word_document_is_read_as_a_new_one(old_files: Path, tmp_path: Path) -> None:
    """Title, headings, rows under their headers; hidden text is left out and told."""
    parsed = read(old_files / "rules.doc", "rules.doc", tmp_path)
    assert parsed.title == "Rules of the office"
    assert "Keep every receipt for a year." in said(parsed, "Travel")
    assert "City: Oslo | Rate: R 2 100" in said(parsed, "Travel > Rates")
    assert "Approve" not in parsed.text
    assert any("Approve everything." in note for note in parsed.notes)
    assert list(tmp_path.iterdir()) == []


def test_a_presentation_is_read_as_a_new_one(old_files: Path, tmp_path: Path) -> None:
    """A section per slide, with its notes; the file is known by its content, not its name."""
    parsed = read(old_files / "plan.ppt", "0a1b2c", tmp_path)
    assert "Equipment first" in parsed.text
    assert "Ask Ben about the laser." in parsed.text
    assert parsed.sections[0].label == "slide 1: Budget"


def test_one_that_came_with_a_message_is_read(old_files: Path, tmp_path: Path) -> None:
    """An old mailbox is full of them."""
    message = EmailMessage()
    message["From"] = "Ann"
    message.set_content("See the rules.")
    message.add_attachment(
        (old_files / "rules.doc").read_bytes(),
        maintype="application", subtype="msword", filename="rules.doc",
    )  # fmt: skip
    path = tmp_path / "mail"
    path.write_bytes(bytes(message))
    parsed = read(path, "a.eml", tmp_path / "work")
    assert "Keep every receipt" in said(parsed, "attachment rules.doc > Travel")


def test_damage_ends_in_words(old_files: Path, tmp_path: Path) -> None:
    """Cut or scrambled, it is refused or read in part; nothing hangs, nothing is left behind."""
    whole = (old_files / "rules.doc").read_bytes()
    dice = random.Random(7)
    path = tmp_path / "damaged"
    for part in (whole[: len(whole) // 2], scrambled(whole, dice), scrambled(whole, dice)):
        path.write_bytes(part)
        with contextlib.suppress(DocumentRefused):
            read(path, "rules.doc", tmp_path / "work")
        assert list((tmp_path / "work").iterdir()) == []


def scrambled(data: bytes, dice: random.Random) -> bytes:
    """The head stays, so that it is still taken for a Word document."""
    out = io.BytesIO(data)
    for _ in range(200):
        out.seek(dice.randrange(1536, len(data)))
        out.write(bytes([dice.randrange(256)]))
    return out.getvalue()
