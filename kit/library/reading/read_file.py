"""Read one document in a child process with limits; whatever happens to the child is an answer.

Knows processes, not formats. Invariant: a file can waste its own time and memory, nobody else's;
a crash, a hang or a child out of memory is a DocumentRefused with a plain reason.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.files import explain_os_errors
from kit.library.dates import dated_from_json
from kit.library.documents import Page, ParsedDocument, Scan, Section
from kit.library.parsers.libreoffice import files_of, find_libreoffice
from kit.library.reading.recognise import (
    CannotRead,
    Recognised,
    Recogniser,
    find_recogniser,
    read_scans,
    read_words,
    without_scans,
)
from kit.library.word_boxes import Area

MAX_RESULT_BYTES = 128 << 20
CPU_MARGIN_S = 5
STOP_CHECK_S = 0.5


# What tesseract needs to see: itself, its data, and what its libraries read.
_RECOGNISER_FILES = (
    "/usr/bin/tesseract", "/usr/local/bin/tesseract", "/usr/share/tesseract-ocr",
    "/usr/share/tessdata", "/usr/local/share/tessdata", "/usr/local/lib",
)  # fmt: skip


def parse_in_child(
    path: Path,
    name: str,
    *,
    timeout_s: float,
    memory_mb: int,
    work_folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
    ocr_languages: Sequence[str] = (),
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> ParsedDocument:
    """What the file holds. `name` is the name its owner knows it by (its ending counts).

    Pages that are pictures are recognised one by one, each in a child of its own with the same
    limits; before each `report` is told how many are done, of how many.

    Raises: DocumentRefused if it cannot be read within the limits, or soon after `should_stop`
    says so; DiskFull, MachineError.
    """

    def run(job: dict[str, Any]) -> dict[str, Any]:
        return run_child(
            job,
            path,
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            work_folder=work_folder,
            should_stop=should_stop,
        )

    job = {"do": "parse", "name": name, "libreoffice": None}
    result = run(job)
    if "needs_libreoffice" in result:
        result = run(job | _opened_for(find_libreoffice()))
    parsed = _parsed_from_json(result["parsed"])
    if not parsed.scans:
        return parsed
    recogniser = find_recogniser(ocr_languages)
    if isinstance(recogniser, CannotRead):
        return without_scans(parsed, recogniser)

    def read_page(scan: Scan) -> Recognised:
        try:
            return read_words(run(recognising(name, scan, recogniser))["table"])
        except (ValueError, OverflowError) as problem:
            raise DocumentRefused("text recognition did not say its words in a table") from problem

    return read_scans(parsed, read_page, should_stop=should_stop, report=report)


def _opened_for(libreoffice: Path | None) -> dict[str, Any]:
    """What the job of reading has beside, once a file needs LibreOffice."""
    if libreoffice is None:
        return {"libreoffice": ""}
    return {
        "libreoffice": str(libreoffice),
        "readable": [str(one) for one in files_of(libreoffice)],
    }


def recognising(name: str, scan: Scan, recogniser: Recogniser) -> dict[str, Any]:
    """The job of reading one page that is a picture; its result has tesseract's `table`."""
    return {
        "do": "recognise", "name": name, "scan": dataclasses.asdict(scan),
        "program": recogniser.program, "languages": recogniser.languages,
        "readable": [one for one in _RECOGNISER_FILES if Path(one).exists()],
    }  # fmt: skip


def render_in_child(
    path: Path,
    page: int,
    *,
    highlight: tuple[int, int] | None,
    quoted: str,
    areas: Sequence[Area],
    scale: float,
    timeout_s: float,
    memory_mb: int,
    work_folder: Path,
) -> bytes:
    """A page as PNG; see kit/library/reading/render.py. Raises DocumentRefused."""
    job = {"do": "render", "page": page, "highlight": highlight, "quoted": quoted}
    job |= {"areas": areas, "scale": scale}
    result = run_child(job, path, timeout_s=timeout_s, memory_mb=memory_mb, work_folder=work_folder)
    return base64.b64decode(result["png"])


def run_child(
    job: dict[str, Any],
    path: Path,
    *,
    timeout_s: float,
    memory_mb: int,
    work_folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
    module: str = "kit.library.reading.parse_child",
    use_files: Callable[[Path, dict[str, Any]], None] = lambda _folder, _result: None,
) -> dict[str, Any]:
    """The child's result. Raises DocumentRefused if the child refuses, dies or takes too long.

    `use_files` is given the folder that the child wrote in, before it is removed.
    """
    job = job | {
        "path": str(path.resolve()),
        "parent_pid": os.getpid(),
        "memory_mb": memory_mb,
        "cpu_s": int(timeout_s) + CPU_MARGIN_S,
        "max_result_bytes": MAX_RESULT_BYTES,
    }
    with explain_os_errors(work_folder):
        work_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work_folder, prefix=f"read-{os.getpid()}-") as folder:
            result = _read_result(*_run(job, Path(folder), timeout_s, module, should_stop))
            use_files(Path(folder) / "cwd", result)
            return result


def _run(
    job: dict[str, Any],
    folder: Path,
    timeout_s: float,
    module: str,
    should_stop: Callable[[], bool],
) -> tuple[int, bytes, str]:
    """(exit status, stdout, stderr); stdout goes through a file, so that the child's limit caps it.

    Raises: DocumentRefused after `timeout_s`, or when it is stopped.
    """
    cwd = folder / "cwd"
    cwd.mkdir()
    out, err = folder / "out", folder / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-I", "-m", module],
            stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, cwd=cwd, env=_environment(cwd),
        )  # fmt: skip
        try:
            _wait(child, json.dumps(job).encode() + b"\n", timeout_s, should_stop)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    return child.returncode, out.read_bytes(), err.read_text(errors="replace")[-4000:]


def _wait(
    child: subprocess.Popen[bytes], job: bytes, timeout_s: float, should_stop: Callable[[], bool]
) -> None:
    """The child has ended. Raises: DocumentRefused if its time is over, or it is stopped."""
    deadline = time.monotonic() + timeout_s
    given: bytes | None = job
    while True:
        left = deadline - time.monotonic()
        try:
            child.communicate(given, timeout=max(0.0, min(left, STOP_CHECK_S)))
            return
        except subprocess.TimeoutExpired:
            given = None  # it has it by now
        if should_stop():
            raise DocumentRefused("its reading was stopped")
        if left <= STOP_CHECK_S:
            raise DocumentRefused(
                f"reading the file took longer than {timeout_s:g} seconds",
                hint="split it, or raise library.parse_timeout_s in kit.toml",
            )


def _environment(cwd: Path) -> dict[str, str]:
    """Only what Python needs; nothing of ours, no secrets, no proxies."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(cwd),
        "TMPDIR": str(cwd),
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _read_result(status: int, out: bytes, err: str) -> dict[str, Any]:
    if status == 0 and out.startswith(b"level\t"):  # the child became tesseract
        return {"table": out.decode("utf-8", "replace")}
    try:
        result: dict[str, Any] = json.loads(out)
    except ValueError:
        raise _explain_death(status, err) from None
    if "refused" not in result:
        return result
    if result["refused"] == "out_of_memory":
        raise _too_much_memory()
    raise DocumentRefused(result["refused"], hint=result["hint"])


def _explain_death(status: int, err: str) -> DocumentRefused:
    if status == -signal.SIGXCPU or status == -signal.SIGKILL:
        return DocumentRefused(
            "the reader was stopped: the file needs more time or memory than allowed",
            hint="split it, or raise library.parse_timeout_s or parse_memory_mb in kit.toml",
        )
    if "MemoryError" in err or "bad_alloc" in err or "Cannot allocate memory" in err:
        return _too_much_memory()
    if status == -signal.SIGXFSZ or "File too large" in err:
        return DocumentRefused("the file holds more text than can be kept", hint="split it")
    reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    last = err.strip().splitlines()[-1][:200] if err.strip() else "no message"
    return DocumentRefused(
        f"the file made its reader crash ({reason}: {last})",
        hint="open it in the program that made it, export it as PDF, and add that",
    )


def _too_much_memory() -> DocumentRefused:
    return DocumentRefused(
        "reading the file takes more memory than allowed",
        hint="split it into smaller files, or raise library.parse_memory_mb in kit.toml",
    )


def _parsed_from_json(record: dict[str, Any]) -> ParsedDocument:
    return ParsedDocument(
        text=record["text"],
        sections=tuple(Section(**section) for section in record["sections"]),
        title=record["title"],
        num_pages=record["num_pages"],
        notes=tuple(record["notes"]),
        pages=tuple(Page(**page) for page in record.get("pages", ())),
        scans=tuple(Scan(**scan | {"part": tuple(scan["part"])}) for scan in record["scans"]),
        dated=dated_from_json(record["dated"]),
    )
