"""The child process that reads one document: a job on stdin, its result on stdout, both JSON.

Runs alone in its cage; everything it imports may be attacked by the file it reads. Invariant:
exactly one result line, or none if it was killed.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.isolate import die_with_parent
from kit.library.reading import cage


def main() -> None:
    """Confine, do the job, write the result."""
    job = json.loads(sys.stdin.buffer.readline())
    die_with_parent(job["parent_pid"])
    result_stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints does not mix with the result
    cage.limit_resources(
        memory_bytes=job["memory_mb"] << 20, cpu_s=job["cpu_s"], file_bytes=job["max_result_bytes"]
    )
    path = Path(job["path"])
    readable = [*cage.python_folders(), *map(Path, job.get("readable", ())), path]
    # LibreOffice does its work in threads.
    threads = bool(job.get("libreoffice"))
    confined = cage.confine(readable=readable, writable=[Path.cwd()], threads=threads)
    result = _run(job, path, confined)
    if "execute" in result:
        os.dup2(result_stream.fileno(), 1)
        os.execve(result["execute"][0], result["execute"], _RECOGNISER_ENVIRONMENT)  # noqa: S606
    result_stream.write(json.dumps(result | {"confined": confined}).encode())
    result_stream.close()
    os._exit(0)  # LibreOffice has threads that never end


def _run(job: dict[str, Any], path: Path, confined: Sequence[str]) -> dict[str, Any]:
    try:
        if job["do"] == "render":
            from kit.library.reading.render import draw_page

            picture = draw_page(
                path, job["page"],
                highlight=job["highlight"], quoted=job["quoted"],
                areas=job["areas"], scale=job["scale"],
            )  # fmt: skip
            return {"png": base64.b64encode(picture).decode()}
        if job["do"] == "recognise":
            return _recognise(job, path)
        return _parse(job, path, confined)
    except DocumentRefused as problem:
        return {"refused": problem.message, "hint": problem.hint}
    except MemoryError:
        return {"refused": "out_of_memory", "hint": None}


def _parse(job: dict[str, Any], path: Path, confined: Sequence[str]) -> dict[str, Any]:
    """The document; or that only LibreOffice reads a part of it, if the job does not say of it."""
    from kit.library.parsers import libreoffice, parse

    if job["libreoffice"] is None:
        libreoffice.ask_first()
    elif not job["libreoffice"]:
        libreoffice.refuse()
    elif set(confined) >= _LIBREOFFICE_NEEDS:
        libreoffice.use(Path(job["libreoffice"]))
    else:
        libreoffice.refuse("this system cannot close LibreOffice in (Landlock and seccomp)")
    try:
        return {"parsed": dataclasses.asdict(parse(path, job["name"]))}
    except libreoffice.LibreOfficeNeeded:
        return {"needs_libreoffice": True}


# It is large and old: without these a file that takes it over would reach the library's others.
_LIBREOFFICE_NEEDS = {"files", "no_processes"}


# One thread, because the cage allows no second; nothing of ours.
_RECOGNISER_ENVIRONMENT = {"LANG": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}


def _recognise(job: dict[str, Any], path: Path) -> dict[str, Any]:
    """Draw the page, then say what this process is to become: tesseract, in the same cage."""
    from kit.library.documents import Scan
    from kit.library.reading.draw_scan import DPI, draw_scan

    picture = Path.cwd() / "page.pgm"
    scan = Scan(**job["scan"] | {"part": tuple(job["scan"]["part"])})
    draw_scan(path, job["name"], scan, picture)
    options = ["-l", job["languages"], "--dpi", str(DPI), "tsv"]
    return {"execute": [job["program"], str(picture), "stdout", *options]}


if __name__ == "__main__":
    main()
