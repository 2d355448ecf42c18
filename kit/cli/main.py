"""The console script: as little as possible before Ctrl-C is handled.

Knows only how a process ends. Invariant: an interrupted or unread command ends without a traceback.
"""

from __future__ import annotations

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

    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
    return code
