# Sourced by scripts/up and scripts/test: finds a Python 3.11 or newer and calls it $python.
python=
for candidate in python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "error: this machine lacks Python 3.11 or newer" >&2
    if command -v dnf >/dev/null 2>&1; then
        echo "  install with: sudo dnf install -y python3.12" >&2
    else
        echo "  install with: sudo apt-get update && sudo apt-get install -y python3 python3-venv" >&2
        echo "  (Debian 12, Ubuntu 24.04 and newer; on older systems use pyenv or a newer release)" >&2
    fi
    exit 4
fi
