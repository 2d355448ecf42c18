"""``python -m kit`` is the same program as ``kit``."""

from kit.cli.main import main

if __name__ == "__main__":
    main()
