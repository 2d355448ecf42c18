#!/bin/sh
# Installs the bundle that this file lies in. Needs Python 3.9 or newer and nothing else.
#
#   ./install.sh                     as root: a service; else into a folder of your own
#   ./install.sh --help              all options
#   ./install.sh verify --key KEY    only check every byte, and change nothing
#   ./install.sh rollback            back to the release before, also if its own command is broken
#
# To check the bundle without trusting this file, with tools of your own system: README.txt.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ ! -f "$here/kernel/kit/bundle/kernel.py" ]; then
    echo "error: $here/kernel is missing: this is not a whole bundle" >&2
    echo "hint: copy the whole folder of the bundle, and run the install.sh in it" >&2
    exit 2
fi
case "${1:-}" in
verify) shift && set -- verify "$here" "$@" ;;
rollback) shift && set -- rollback "$@" ;;
*) set -- install "$here" "$@" ;;
esac
for python in "${KIT_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python3.10 \
    python3.9; do
    if [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
        # -I: no environment, no user's packages, no current folder; -B: the bundle stays as it is.
        exec "$python" -I -B -c 'import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("kit.bundle.kernel", run_name="__main__")' "$here/kernel" "$@"
    fi
done
echo "error: no Python 3.9 or newer was found on this server" >&2
echo "hint: install python3 from this system's own media, or name one: KIT_PYTHON=/path/to/python3" >&2
exit 4
