"""The report: its verdict follows from what was run and seen, and it can be checked by others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from kit.bundle import minisign
from kit.bundle.minisign import SecretKey
from kit.errors import BundleError
from kit.ops.prove.browse import outside_urls
from kit.ops.prove.prove import prover_key, read_report, write_report
from kit.ops.prove.report import Control, Report, Step, render
from kit.ops.prove.trace import Attempt, Trace

KEY = SecretKey(b"prover  ", bytes(range(32)))
OK = Step("serve", "ok", 3.0, trace=Trace(9, 40, ()))
CAUGHT = Control("a name", is_caught=True)
REPORT = Report("2026-11-26T10:00:00Z", "0.1.0", "x86_64", "", (OK,), (CAUGHT,))
LEAK = Attempt("/usr/bin/python3", "connect", "203.0.113.9", 443)


def changed(**fields: object) -> Report:
    return dataclasses.replace(REPORT, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (REPORT, "silent"),
        (changed(steps=(OK, Step("upgrade", "not run"))), "silent"),
        (changed(steps=(OK, Step("ask", "failed"))), "incomplete"),
        (changed(steps=(dataclasses.replace(OK, trace=Trace(1, 1, (LEAK,))),)), "attempts"),
        (changed(steps=(dataclasses.replace(OK, urls=("http://203.0.113.9/",)),)), "attempts"),
        (changed(controls=(CAUGHT, Control("a page", is_caught=False))), "invalid"),
        (changed(controls=()), "invalid"),
        (changed(steps=()), "incomplete"),
        (changed(steps=(Step("serve", "not run"),)), "incomplete"),
    ],
)
def test_the_verdict(report: Report, verdict: str) -> None:
    """Silent only if all that ran went well, nothing tried to leave, and every leak was caught."""
    assert report.verdict == verdict
    assert json.loads(report.to_bytes())["verdict"] == verdict
    assert read_report(json.loads(report.to_bytes())) == report


def test_a_page_names_what_tried(tmp_path: Path) -> None:
    """Program, call, address and port stand in the page, and which steps were not run."""
    leaky = dataclasses.replace(OK, trace=Trace(1, 1, (LEAK,)))
    page = render(changed(steps=(leaky, Step("upgrade", "not run", said="no bundle | given"))))
    assert "/usr/bin/python3 connect 203.0.113.9 port 443" in page
    assert "| upgrade | not run: no bundle / given |" in page
    assert "Something tried to leave" in page
    assert tmp_path.is_dir()


def test_it_is_signed(tmp_path: Path) -> None:
    """minisign's format: a changed byte of the report no longer fits."""
    raw_path, signature, page, _ = write_report(REPORT, tmp_path / "proof", KEY)
    raw = raw_path.read_bytes()
    comment = minisign.verify(KEY.public, raw, signature.read_text())
    assert comment == "kit proof of 2026-11-26T10:00:00Z: silent"
    with pytest.raises(BundleError):
        minisign.verify(KEY.public, raw.replace(b"silent", b"Silent"), signature.read_text())
    assert "Nothing tried to leave" in page.read_text()


def test_a_server_keeps_its_key(tmp_path: Path) -> None:
    """Made once, for its owner alone."""
    key = prover_key(tmp_path)
    assert prover_key(tmp_path) == key
    assert (tmp_path / "proof.key").stat().st_mode & 0o077 == 0


def test_whose_requests_are_a_pages() -> None:
    """What a page asked for counts; what the browser asks its maker by itself is told apart."""
    line = '{{"params":{{"initiator":"{}","method":"GET","url":"{}"}},"phase":1}},\n'
    log = "".join(
        line.format(initiator, url)
        for initiator, url in [
            ("http://127.0.0.1:7860", "http://127.0.0.1:7860/style.css"),
            ("http://127.0.0.1:7860", "https://fonts.example/a.woff"),
            ("null", "http://203.0.113.9/leak.png"),
            ("not an origin", "https://maker.example/time"),
            ("not an origin", "http://127.0.0.1:7860/"),
            ("http://127.0.0.1:7860", "data:text/plain,x"),
        ]
    )
    of_pages, of_browser = outside_urls(log)
    assert of_pages == ("https://fonts.example/a.woff", "http://203.0.113.9/leak.png")
    assert of_browser == ("https://maker.example/time",)
