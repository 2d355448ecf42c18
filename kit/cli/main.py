"""The console script: as little as possible before Ctrl-C is handled.

Knows only how a process ends. Invariant: an interrupted or unread command ends without a traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command of sys.argv and end with its exit code."""
    try:
        code = _run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def _run() -> int:
    from kit.cli.app import drop_stdout, run  # takes a tenth of a second

    _open_closed_streams()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
    except OSError:  # a full disk: said already, and Python's own exit would say it again
        with contextlib.suppress(OSError):
            drop_stdout()
        return code or 1
    return code


def _open_closed_streams() -> None:
    """A shell can start us with stdout or stderr closed (`>&-`): what is written there is lost.

    Opening takes the lowest free descriptor, so no file of ours can get number 1 or 2 either.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for good
