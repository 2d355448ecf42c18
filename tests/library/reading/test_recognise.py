"""Text recognition: what is missing is said, what was read stands in its page, on our own seams."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument, Scan
from kit.library.parsers.build import TextBuilder
from kit.library.reading import read_file, recognise
from kit.library.reading.recognise import (
    CannotRead,
    Recognised,
    Recogniser,
    find_recogniser,
    read_scans,
    read_words,
    without_scans,
)
from kit.library.word_boxes import unpack_words

HEAD = (
    "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\t"
    "conf\ttext\n"
)


def words(*rows: tuple[int, int, int, float, str]) -> str:
    return HEAD + "".join(
        f"5\t1\t{block}\t{par}\t{line}\t1\t0\t0\t9\t9\t{confidence}\t{text}\n"
        for block, par, line, confidence, text in rows
    )


def document() -> ParsedDocument:
    """Page 1 has text, pages 2 and 3 are pictures, page 4 has a stamp over a picture."""
    builder = TextBuilder()
    builder.begin("page", "page 1", 1)
    builder.add("First.\n\n")
    builder.scan("page 2", 2)
    builder.scan("page 3", 3)
    builder.scan("page 4", 4)
    builder.add("STAMP 7\n\n")
    return builder.finish(num_pages=4)


def test_words_become_lines_and_paragraphs() -> None:
    """Lines and paragraphs are kept; confidence counts letters; a quotation mark is a letter."""
    found = read_words(
        words((1, 1, 1, 90.0, '"Per'), (1, 1, 1, 90.0, "diem"), (1, 1, 2, 90.0, "R585"),
              (2, 1, 1, 50.0, "Annex"), (2, 1, 1, -1, ""))
    )  # fmt: skip
    assert found.text == '"Per diem\nR585\n\nAnnex'
    assert 70 < found.confidence < 90


def placed(*rows: tuple[int, int, int, str]) -> str:
    """A table of words on a sheet of 1000 by 2000 dots, each (line, left, top, text), 100 by 20."""
    return (
        HEAD
        + "1\t1\t0\t0\t0\t0\t0\t0\t1000\t2000\t-1\t\n"
        + "".join(
            f"5\t1\t1\t1\t{line}\t1\t{left}\t{top}\t100\t20\t95.5\t{text}\n"
            for line, left, top, text in rows
        )
    )


def test_each_word_has_its_span_and_its_place() -> None:
    """Spans are of the text as it is kept: cleaned, joined, empty words left out; places are parts
    of the sheet, whatever its size in dots."""
    found = read_words(
        placed((1, 100, 200, "Over\u200bhead"), (1, 250, 200, "\u00ad"), (1, 400, 200, "is"),
               (2, 100, 240, "15"))
    )  # fmt: skip
    words = unpack_words(found.words)
    assert found.text == "Overhead is\n15"
    assert [found.text[word.start : word.end] for word in words] == ["Overhead", "is", "15"]
    assert [word.line for word in words] == [0, 0, 1]
    assert [word.area for word in words] == [
        (0.1, 0.1, 0.2, 0.11), (0.4, 0.1, 0.5, 0.11), (0.1, 0.12, 0.2, 0.13),
    ]  # fmt: skip


def test_a_table_without_its_sheet_has_no_places() -> None:
    """Dots say nothing where the size of the picture is not known; the text is there."""
    found = read_words(words((1, 1, 1, 90.0, "Per")))
    assert (found.text, found.words) == ("Per", b"")


def test_words_are_found_in_the_documents_text() -> None:
    """On a page that has text of its own, and after other pages, a word's span is that word."""
    tables = {
        2: placed((1, 100, 200, "Second"), (2, 100, 240, "page.")),
        3: placed(),
        4: placed((1, 100, 200, "Under"), (1, 220, 200, "it.")),
    }
    parsed = read_scans(document(), lambda scan: read_words(tables[scan.source_page]))
    starts = {section.page: section.start for section in parsed.sections}
    said = {
        page.page: [
            parsed.text[starts[page.page] + word.start : starts[page.page] + word.end]
            for word in unpack_words(page.packed, start=page.start)
        ]
        for page in parsed.words
    }
    assert said == {2: ["Second", "page."], 4: ["Under", "it."]}


def test_before_each_page_it_is_told_how_many_are_done() -> None:
    """Also of pages that fail; then `should_stop` is asked, so that whoever is told may wait."""
    told: list[tuple[int, int]] = []

    def read_page(scan: Scan) -> Recognised:
        if scan.source_page == 3:
            raise DocumentRefused("took too long")
        return Recognised("Text.", 95.0)

    read_scans(document(), read_page, report=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)]
    told.clear()
    with pytest.raises(DocumentRefused, match="stopped"):
        read_scans(
            document(),
            read_page,
            should_stop=lambda: len(told) == 2,
            report=lambda done, total: told.append((done, total)),
        )
    assert told == [(0, 3), (1, 3)]


def test_only_pictures_are_recognised_and_each_is_told() -> None:
    """Recognised text stands in its page's section; offsets hold; remarks name the pages."""
    answers = {2: Recognised("Second.", 95.0), 3: Recognised("Thrid.", 41.0), 4: Recognised(" ", 0)}
    parsed = read_scans(document(), lambda scan: answers[scan.source_page])
    assert [(s.label, parsed.text[s.start : s.end]) for s in parsed.sections] == [
        ("page 1", "First.\n\n"),
        ("page 2", "Second.\n\n"),
        ("page 3", "Thrid.\n\n"),
        ("page 4", "STAMP 7\n\n"),
    ]
    assert parsed.notes == (
        "pages 2-3 were read by text recognition",
        "text recognition found nothing on 1 of 3 pages",
        "page 3 was hard to read (41 of 100 sure): check it against the picture",
    )
    assert parsed.scans == ()
    assert [(page.page, page.state) for page in parsed.pages] == [
        (2, "ocr"), (3, "ocr"), (4, "no_text"),
    ]  # fmt: skip


def test_pages_that_cannot_be_read_do_not_cost_the_others() -> None:
    """A page that fails is told; after three in a row the rest is left, and told too."""

    def fail(scan: Scan) -> Recognised:
        raise DocumentRefused("took too long")

    builder = TextBuilder()
    for number in range(1, 6):
        builder.scan(f"page {number}", number)
    asked: list[int] = []
    parsed = read_scans(builder.finish(), lambda s: asked.append(s.source_page) or fail(s))  # type: ignore[func-returns-value]
    assert asked == [1, 2, 3]
    assert "page 1 was not read: took too long" in parsed.notes
    assert any(note.startswith("page 5 was not read") for note in parsed.notes)


def test_without_tesseract_the_pages_are_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Missing program, missing language, switched off: each says what to do."""
    monkeypatch.setattr(recognise.shutil, "which", lambda *_, **__: None)
    missing = find_recogniser(["eng", "afr"])
    assert isinstance(missing, CannotRead)
    assert "apt-get install tesseract-ocr tesseract-ocr-afr" in missing.hint
    parsed = without_scans(document(), missing)
    assert parsed.text == "First.\n\nSTAMP 7\n\n"
    assert parsed.hint == missing.hint
    assert parsed.notes == (
        "pages 2-4: a picture of text, not read, because text recognition is not installed",
    )
    monkeypatch.setattr(recognise.shutil, "which", lambda *_, **__: "/usr/bin/tesseract")
    monkeypatch.setattr(recognise, "installed_languages", lambda _: ["eng"])
    unknown = find_recogniser(["eng", "chi_sim"])
    assert isinstance(unknown, CannotRead)
    assert "chi_sim" in unknown.reason
    assert "tesseract-ocr-chi-sim" in unknown.hint
    assert isinstance(find_recogniser([]), CannotRead)
    assert find_recogniser(["eng"]) == Recogniser("/usr/bin/tesseract", "eng")


def test_the_recogniser_takes_the_place_of_the_caged_child(tmp_path: Path) -> None:
    """The program runs in the cage of the child that drew the page: its limits, no process of its
    own, no environment of ours, one thread; it is handed a picture of the page."""
    from PIL import Image

    path = tmp_path / "scan.png"
    Image.new("L", (300, 200), 255).save(path)
    program = tmp_path / "fake"
    program.write_text(
        '#!/bin/sh\nread -r magic < "$1"\n'
        f"printf '%s\\n' '{HEAD.strip()}'\n"
        "printf '5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t96.0\t%s,'"
        ' "$magic,$4,$OMP_THREAD_LIMIT,${SECRET-none}"\nulimit -v\n'
    )
    program.chmod(0o755)
    os.environ["SECRET"] = "x"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_file, "_RECOGNISER_FILES", (str(program), "/bin", "/usr/bin"))
            job = read_file.recognising(
                "scan.png", Scan(0, "page 1", 1, 1), Recogniser(str(program), "eng+afr")
            )
            result = read_file.run_child(
                job, path, timeout_s=20.0, memory_mb=1024, work_folder=tmp_path / "work"
            )
            found = read_words(result["table"])
    finally:
        del os.environ["SECRET"]
    assert found.text == f"P5,eng+afr,1,none,{1024 << 10}"
    assert list((tmp_path / "work").iterdir()) == []


def test_installed_languages_of_a_program(tmp_path: Path) -> None:
    """The first line is a heading; 'osd' finds directions and is no language."""
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\necho 'List of languages (3):'; echo eng; echo osd; echo afr\n")
    program.chmod(0o755)
    assert recognise.installed_languages(str(program)) == ["afr", "eng"]
    assert recognise.installed_languages(str(tmp_path / "none")) == []
