"""A tiny child for the supervisor's tests: what it does is its argument."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    what, note = sys.argv[1], Path(sys.argv[2])
    with note.open("a") as out:
        out.write(f"{os.getpid()}\n")
    if what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if what == "parent":
        subprocess.Popen([sys.executable, __file__, "stubborn", str(note)])
    if what == "refuses":
        sys.stderr.write("error: the page cannot be served\nhint: do that\n")
        sys.exit(6)
    if what == "dies":
        sys.exit(3)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main()
