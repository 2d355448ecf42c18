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
from pathlib import Path
from typing import Any

from kit.errors import DocumentRefused
from kit.isolate import die_with_parent
from kit.library import cage


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
    confined = cage.confine(readable=[*cage.python_folders(), path], writable=[Path.cwd()])
    result_stream.write(json.dumps(_run(job, path) | {"confined": confined}).encode())
    result_stream.close()


def _run(job: dict[str, Any], path: Path) -> dict[str, Any]:
    try:
        if job["do"] == "render":
            from kit.library.render import draw_page

            picture = draw_page(path, job["page"], highlight=job["highlight"], scale=job["scale"])
            return {"png": base64.b64encode(picture).decode()}
        from kit.library.parsers import parse

        return {"parsed": dataclasses.asdict(parse(path, job["name"]))}
    except DocumentRefused as problem:
        return {"refused": problem.message, "hint": problem.hint}
    except MemoryError:
        return {"refused": "out_of_memory", "hint": None}


if __name__ == "__main__":
    main()
