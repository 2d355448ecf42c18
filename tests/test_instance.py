"""One owner per KIT_HOME, and a run file that only tells the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.errors import AlreadyRunning
from kit.instance import Instance, announce, find_instance, instance_path, own_home, withdraw

INSTANCE = Instance(
    1, "http://127.0.0.1:7860", "http://127.0.0.1:1/v1", "http://127.0.0.1:2", "secret"
)
HOLDER = """
import sys, time
from pathlib import Path
from kit.instance import Instance, announce, own_home
home = Path(sys.argv[1])
with own_home(home):
    announce(home, Instance(1, "http://127.0.0.1:7860", "e", "w", "secret"))
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(home: Path) -> subprocess.Popen[str]:
    """Another process that owns the home."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_owner_is_told_where_the_first_is(
    home: Path, holder: subprocess.Popen[str]
) -> None:
    """While one process owns a home, another is refused with the first one's address."""
    assert find_instance(home) == Instance(1, "http://127.0.0.1:7860", "e", "w", "secret")
    with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:7860/"), own_home(home):
        pass


def test_a_kill_leaves_nothing_stale(home: Path, holder: subprocess.Popen[str]) -> None:
    """After SIGKILL the home is free at once and the run file that stayed does not count."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert instance_path(home).exists()
    assert find_instance(home) is None
    with own_home(home):
        assert find_instance(home) is None  # nor does it count for the next owner


def test_the_run_file_is_private_and_gone_after_withdraw(home: Path) -> None:
    """The token is readable by this user alone; after `withdraw` nobody finds the kit."""
    with own_home(home):
        announce(home, INSTANCE)
        assert find_instance(home) == INSTANCE  # the lock is held, so the file counts
        assert instance_path(home).stat().st_mode & 0o777 == 0o600
        assert instance_path(home).parent.stat().st_mode & 0o777 == 0o700
        withdraw(home)
        assert find_instance(home) is None
    withdraw(home)  # again is no error


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"pid": 1}', "not json"])
def test_a_damaged_run_file_is_no_kit(home: Path, content: str) -> None:
    """A run file that cannot be read means that no kit runs, not a traceback."""
    with own_home(home):
        instance_path(home).write_text(content)
        assert find_instance(home) is None


def test_the_lock_is_not_inherited(home: Path) -> None:
    """A child of the owner does not keep the home after the owner let go of it."""
    with own_home(home):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
        )
    try:
        deadline = time.monotonic() + 2  # the kernel closes a child's files a moment after exec
        while not is_free(home):
            assert time.monotonic() < deadline
        assert child.poll() is None
    finally:
        child.communicate(b"\n")


def is_free(home: Path) -> bool:
    try:
        with own_home(home):
            return True
    except AlreadyRunning:
        return False


def test_the_lock_ends_with_the_block(home: Path) -> None:
    """Leaving the block, also by an error, frees the home."""
    with pytest.raises(RuntimeError), own_home(home):
        raise RuntimeError
    with own_home(home):
        assert os.path.exists(home / "run" / "lock")
