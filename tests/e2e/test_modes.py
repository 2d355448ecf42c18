"""The modes beside asking, with the real models and in the real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from docx import Document
from openpyxl import load_workbook
from playwright.sync_api import Browser, expect

from tests.e2e.drive import RunningKit, run_kit
from tests.e2e.test_page_browser import DESKTOP, serving

pytestmark = pytest.mark.e2e

POLICIES = ("travel-policy-2023.pdf", "travel-policy-2025.pdf")


def test_the_modes_over_the_sample_policies(kit: RunningKit, tmp_path: Path) -> None:
    """With the starter models: the summary rests on the policy alone, the comparison shows the new
    rate beside the old, the table finds what is there and says what is not."""
    summary = run_kit(kit.home, "summarise", POLICIES[1], "--json").json()
    assert summary["supported"]
    assert 3 <= len(summary["citations"]) <= 8
    assert {c["document"] for c in summary["citations"]} == {POLICIES[1]}
    compared = run_kit(kit.home, "compare", *POLICIES, "--json").json()
    differences = [row[2]["text"] for row in compared["tables"][0]["rows"]]
    assert any("R4.18 → R4.84" in difference for difference in differences)
    assert any("80 → 70" in difference for difference in differences)
    sheet = tmp_path / "fields.xlsx"
    fields = ("Rate: what is refunded per kilometre?", "Captain: who is the captain of the ship?")
    command = [part for field in fields for part in ("-f", field)]
    result = run_kit(kit.home, "extract", *command, "-o", str(sheet), *POLICIES)
    assert result.code == 0, result.err
    rows = [[cell.value for cell in row] for row in load_workbook(sheet)["Fields"]]
    assert rows[1:] == [[POLICIES[0], "R4.18", "not found"], [POLICIES[1], "R4.84", "not found"]]


def test_two_documents_are_compared_on_the_page(browser: Browser, tmp_path: Path) -> None:
    """Chosen beside the question, compared, saved to Word; then the box asks again."""
    with serving(tmp_path) as server:
        context = browser.new_context(viewport=DESKTOP, accept_downloads=True)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(server.address)
        page.locator('nav [data-view="documents"]').click()
        page.locator("#drop input[type=file]").set_input_files(
            [
                {"name": f"rules-{year}.md", "mimeType": "text/markdown", "buffer": text.encode()}
                for year, text in (
                    ("2023", "Staff receive R450 a day for meals."),
                    ("2025", "Staff receive R585 a day for meals."),
                )
            ]
        )
        expect(page.locator("#table .pill.ready")).to_have_count(2, timeout=30_000)
        page.locator('nav [data-view="chat"]').click()
        form = page.locator("#task-form")
        for _ in range(2):  # closed and opened again
            page.locator("#mode").select_option("compare")
            expect(form).to_be_visible()
            page.keyboard.press("Escape")
            expect(page.locator("#composer")).to_be_visible()
        page.locator("#mode").select_option("extract")
        form.locator("details.boxes summary").click()
        box = form.locator("details.boxes input").first
        box.check()
        assert box.evaluate("box => getComputedStyle(box).appearance") == "auto"  # seen as checked
        page.keyboard.press("Escape")
        page.locator("#mode").select_option("compare")
        expect(form.locator("select").nth(1)).to_have_value(
            form.locator("option", has_text="rules-2025.md").nth(1).get_attribute("value") or ""
        )
        form.get_by_role("button", name="Compare").click()
        expect(page.locator("#thread .made td").nth(2)).to_have_text("R450 → R585")
        expect(page.locator("#composer")).to_be_visible()
        page.locator("details.save summary").click()
        with page.expect_download() as download:
            page.locator("details.save a", has_text="Word").first.click()
        saved = tmp_path / "saved.docx"
        download.value.save_as(saved)
        assert Document(str(saved)).tables[0].rows[1].cells[2].text == "R450 → R585"
        context.close()
