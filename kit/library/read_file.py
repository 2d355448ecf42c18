"""Read one document in a child process with limits; whatever happens to the child is an answer.

Knows processes, not formats. Invariant: a file can waste its own time and memory, nobody else's;
a crash, a hang or a child out of memory is a DocumentRefused with a plain reason.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.files import explain_os_errors
from kit.library.documents import ParsedDocument, Section

MAX_RESULT_BYTES = 128 << 20
CPU_MARGIN_S = 5


def parse_in_child(
    path: Path, name: str, *, timeout_s: float, memory_mb: int, work_folder: Path
) -> ParsedDocument:
    """What the file holds. `name` is the name its owner knows it by (its ending counts).

    Raises: DocumentRefused if it cannot be read within the limits; DiskFull, MachineError.
    """
    job = {"do": "parse", "name": name}
    result = run_child(job, path, timeout_s=timeout_s, memory_mb=memory_mb, work_folder=work_folder)
    return _parsed_from_json(result["parsed"])


def render_in_child(
    path: Path,
    page: int,
    *,
    highlight: tuple[int, int] | None,
    scale: float,
    timeout_s: float,
    memory_mb: int,
    work_folder: Path,
) -> bytes:
    """A page as PNG; see kit/library/render.py. Raises DocumentRefused."""
    job = {"do": "render", "page": page, "highlight": highlight, "scale": scale}
    result = run_child(job, path, timeout_s=timeout_s, memory_mb=memory_mb, work_folder=work_folder)
    return base64.b64decode(result["png"])


def run_child(
    job: dict[str, Any], path: Path, *, timeout_s: float, memory_mb: int, work_folder: Path
) -> dict[str, Any]:
    """The child's result. Raises DocumentRefused if the child refuses, dies or takes too long."""
    job = job | {
        "path": str(path.resolve()),
        "parent_pid": os.getpid(),
        "memory_mb": memory_mb,
        "cpu_s": int(timeout_s) + CPU_MARGIN_S,
        "max_result_bytes": MAX_RESULT_BYTES,
    }
    with explain_os_errors(work_folder):
        work_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work_folder, prefix="read-") as folder:
            return _read_result(*_run(job, Path(folder), timeout_s))


def _run(job: dict[str, Any], folder: Path, timeout_s: float) -> tuple[int, bytes, str]:
    """(exit status, stdout, stderr); stdout goes through a file, so that the child's limit caps it.

    Raises: DocumentRefused after `timeout_s`.
    """
    cwd = folder / "cwd"
    cwd.mkdir()
    out, err = folder / "out", folder / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-I", "-m", "kit.library.parse_child"],
            stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, cwd=cwd, env=_environment(cwd),
        )  # fmt: skip
        try:
            child.communicate(json.dumps(job).encode() + b"\n", timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise DocumentRefused(
                f"reading the file took longer than {timeout_s:g} seconds",
                hint="split it, or raise library.parse_timeout_s in kit.toml",
            ) from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    return child.returncode, out.read_bytes(), err.read_text(errors="replace")[-4000:]


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
    )
