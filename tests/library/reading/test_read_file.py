"""Reading in a caged child: what a file does there harms nobody, and always ends in words."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.errors import DocumentRefused
from kit.library.documents import ParsedDocument, Scan, Section
from kit.library.reading import read_file
from kit.library.reading.read_file import parse_in_child, run_child
from kit.library.reading.recognise import Recogniser

LIMITS = {"timeout_s": 20.0, "memory_mb": 1024}


def in_cage(code: str, tmp_path: Path, options: str = "") -> subprocess.CompletedProcess[str]:
    """Run code in a process that has caged itself as the parse child does."""
    prelude = (
        "from pathlib import Path; from kit.library.reading import cage\n"
        "import os, resource, socket\n"
        "cage.limit_resources(memory_bytes=1 << 30, cpu_s=5, file_bytes=1 << 20)\n"
        "done = cage.confine(readable=cage.python_folders(),"
        f" writable=[Path({str(tmp_path)!r})]{options})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    """Text and sections cross from the child as they were."""
    path = tmp_path / "0123abcd"
    path.write_text("# Rules\n\nBe kind – 会议.\n")
    parsed = parse_in_child(path, "rules.md", work_folder=tmp_path / "work", **LIMITS)  # type: ignore[arg-type]
    assert parsed.text == "# Rules\n\nBe kind – 会议.\n"
    assert parsed.sections[0].label == "Rules"
    assert list((tmp_path / "work").iterdir()) == []


def test_a_refusal_comes_back_as_one(tmp_path: Path) -> None:
    """What the parser refuses in the child is refused here, with its hint."""
    path = tmp_path / "x"
    path.write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(DocumentRefused, match="program") as refusal:
        parse_in_child(path, "x.pdf", work_folder=tmp_path / "work", **LIMITS)  # type: ignore[arg-type]
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import time\ntime.sleep(60)", "longer than"),
        ("x = 'a'\nwhile True: x += x", "memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os; os._exit(3)", "crash"),
        ("print('noise' * 1000); raise RuntimeError('boom')", "boom"),
    ],
    ids=["endless", "greedy", "segfault", "exit", "exception"],
)
def test_a_reader_that_goes_wrong_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, word: str
) -> None:
    """A child that hangs, eats memory or dies becomes a refusal in plain words, in time."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "import sys, json\nfrom kit.library.reading import cage\n"
        "job = json.loads(sys.stdin.buffer.readline())\n"
        "cage.limit_resources(memory_bytes=job['memory_mb'] << 20, cpu_s=60, file_bytes=1 << 20)\n"
        + code
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        read_file.subprocess,
        "Popen",
        lambda _command, **options: real(
            [sys.executable, str(planted)],
            **{**options, "env": os.environ | {"PYTHONPATH": str(Path.cwd())}},
        ),
    )
    path = tmp_path / "a.txt"
    path.write_text("text")
    timeout_s = 0.5 if word == "longer than" else 600.0
    with pytest.raises(DocumentRefused, match=word):
        run_child({}, path, timeout_s=timeout_s, memory_mb=512, work_folder=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_recognition_that_says_no_table_costs_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in place of a table of words is a remark on the page, and the rest is read."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"%PDF-1.7")
    said = {
        "parse": {
            "parsed": dataclasses.asdict(
                ParsedDocument(
                    "typed\n",
                    (Section("page", "page 1", 0, 6, 1), Section("page", "page 2", 6, 6, 2)),
                    num_pages=2,
                    scans=(Scan(1, "page 2", 2, 2),),
                )
            )
        },
        "recognise": {"table": "no\ttable\n1\t2\n"},
    }
    monkeypatch.setattr(read_file, "run_child", lambda job, *_, **__: said[job["do"]])
    monkeypatch.setattr(read_file, "find_recogniser", lambda _: Recogniser("tesseract", "eng"))
    parsed = parse_in_child(path, "scan.pdf", work_folder=tmp_path / "work", **LIMITS)  # type: ignore[arg-type]
    assert parsed.text == "typed\n"
    assert any("did not say its words in a table" in note for note in parsed.notes)


def test_the_cage_has_limits(tmp_path: Path) -> None:
    """Memory, file size, open files and new processes are bounded for an ordinary user."""
    done = in_cage(
        "print(resource.getrlimit(resource.RLIMIT_AS)[1] == 1 << 30,"
        " resource.getrlimit(resource.RLIMIT_NOFILE)[0],"
        " resource.getrlimit(resource.RLIMIT_CORE)[0])",
        tmp_path,
    )
    assert done.stdout.split() == ["True", "64", "0"], done.stderr


def test_the_cage_makes_no_process(tmp_path: Path) -> None:
    """Neither an ordinary user nor root forks there or starts a program; threads are by leave."""
    code = (
        "import subprocess, threading\n"
        "print('no_processes' in done)\n"
        "for make in (os.fork, lambda: subprocess.run(['/usr/bin/true'])):\n"
        "    try:\n        make(); print('made')\n"
        "    except OSError as problem:\n        print(problem.errno)\n"
    )
    is_confined, *rest = in_cage(code, tmp_path).stdout.split()
    if is_confined != "True":
        pytest.skip("this kernel or machine has no filter of system calls")
    assert rest == ["1", "1"]
    code += "one = threading.Thread(target=print, args=('thread',)); one.start(); one.join()\n"
    done = in_cage(code, tmp_path, options=", threads=True")
    assert done.stdout.split() == ["True", "1", "1", "thread"], done.stderr


def test_the_cage_has_no_network(tmp_path: Path) -> None:
    """Where the kernel allows it, nothing can be reached, not even this machine."""
    done = in_cage(
        "print('no_network' in done)\n"
        "try:\n    socket.create_connection(('127.0.0.1', 9), 1)\n"
        "except OSError as problem:\n    print(problem.errno)",
        tmp_path,
    )
    is_confined, error = done.stdout.split()
    if is_confined != "True":
        pytest.skip("this kernel gives no network namespace to this user")
    assert int(error) in (101, 99), done.stderr  # unreachable; refused would be 111


def test_the_cage_has_no_files(tmp_path: Path) -> None:
    """Where the kernel allows it, only what it was given can be opened."""
    (tmp_path / "given").write_text("mine")
    done = in_cage(
        "print('files' in done)\n"
        "print(open('given').read())\n"
        "for name in ('/etc/passwd', '/root/.profile', '/etc/shadow'):\n"
        "    try:\n        open(name); print('open')\n"
        "    except OSError:\n        print('closed')",
        tmp_path,
    )
    is_confined, *rest = done.stdout.split()
    if is_confined != "True":
        pytest.skip("this kernel has no Landlock")
    assert rest == ["mine", "closed", "closed", "closed"], done.stderr


def test_the_child_sees_no_environment(tmp_path: Path) -> None:
    """Nothing of ours reaches the child: no secrets, no proxies."""
    assert set(read_file._environment(tmp_path)) <= {
        "PATH", "LANG", "HOME", "TMPDIR", "TZ",
        "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX",
    }  # fmt: skip
