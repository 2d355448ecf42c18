"""A kill at every step of a backup and of a restore: the home is wholly the old one or the new."""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.database import Database
from kit.library.store import Library
from kit.ops.backup import back_up, check_backup, read_backup, restore

pytestmark = pytest.mark.e2e

# Ends the process, as a kill does, before the Nth change of the file system.
CHILD = """
import os, sys
from pathlib import Path
from kit.ops import backup
last, verb, home, folder = int(sys.argv[1]), *sys.argv[2:]
count = 0
def on_event(name, arguments):
    global count
    writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & 3
    if writes or name in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.chmod", "os.rmdir"):
        count += 1
        if count == last:
            os._exit(9)
sys.addaudithook(on_event)
if verb == "back_up":
    backup.back_up(Path(home), Path(folder))
else:
    backup.restore(Path(home), Path(folder), replace=True)
"""


def add(home: Path, name: str) -> None:
    database = Database(home / "kit.db")
    Library(home, database).add(io.BytesIO(name.encode()), name, added_by="local")
    database.close()


def names(home: Path) -> list[str]:
    database = Database(home / "kit.db")
    library = Library(home, database)
    found = sorted(record.name for record in library.list("local"))
    assert all(library.original(r.id, "local").is_file() for r in library.list("local"))
    database.close()
    return found


def run(last: int, verb: str, home: Path, folder: Path) -> int:
    command = [sys.executable, "-c", CHILD, str(last), verb, str(home), str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode in (0, 9), child.stderr
    return child.returncode


@pytest.mark.parametrize("verb", ["back_up", "restore"])
def test_a_kill_at_every_step_loses_nothing(tmp_path: Path, verb: str) -> None:
    """Killed before step 1, 2, 3 … until it completes; after each the same command succeeds."""
    pristine = tmp_path / "pristine"
    pristine.mkdir()
    add(pristine, "old.txt")
    saved = back_up(pristine, tmp_path / "saved")
    add(pristine, "new.txt")
    for last in itertools.count(1):
        home, folder = tmp_path / "home", tmp_path / "stick"
        shutil.copytree(pristine, home)
        code = run(last, verb, home, folder if verb == "back_up" else saved.folder)
        after = names(home)
        if verb == "back_up":
            assert after == ["new.txt", "old.txt"]
            for made in folder.glob("*/backup.json"):
                check_backup(read_backup(made.parent))
            check_backup(back_up(home, tmp_path / "again"))
            shutil.rmtree(tmp_path / "again")
            shutil.rmtree(folder, ignore_errors=True)
        else:
            assert after in (["new.txt", "old.txt"], ["old.txt"])
            restore(home, saved.folder, replace=True)
            assert names(home) == ["old.txt"]
            assert not list((home / "tmp").glob("restore-*"))
        shutil.rmtree(home)
        if code == 0:
            break
    assert last > 10, "nothing was ever killed"
