#!/bin/sh
# Makes .venv from the locked versions: `environment.sh service` or `environment.sh dev`.
# Does nothing if it is there already and neither Python nor the locked versions have changed.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-service}
lock=constraints.txt
[ "$kind" = dev ] && lock=constraints-dev.txt

right() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python=
for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if command -v "$name" >/dev/null 2>&1 && right "$name"; then python=$name; break; fi
done
if [ -z "$python" ]; then
    echo "Misto needs Python 3.11 or newer. On Debian 12 or newer: apt install python3 python3-venv" >&2
    echo "If it is installed under another name: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "$python has no module to make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
fi

# A development environment also serves the demo.
want="$("$python" -c 'import sys; print(sys.version)') $(cat constraints.txt constraints-dev.txt pyproject.toml | cksum) $PWD"
have=$(cat .venv/misto-stamp 2>/dev/null || true)
if [ "$have" = "dev $want" ] || [ "$have" = "$kind $want" ]; then exit 0; fi

echo "Making the Python environment in .venv (first time: downloads about 60 MB of packages) …"
rm -rf .venv
"$python" -m venv .venv
# Of pip's talk only what it downloads just now; all of it is in the log.
log=.venv/install.log
: > "$log"
install() {
    {
        PYTHONUNBUFFERED=1 .venv/bin/python -m pip install --no-input --disable-pip-version-check \
            --progress-bar off "$@" 2>&1 && echo "=== done ==="
    } | while IFS= read -r line; do
        printf '%s\n' "$line" >> "$log"
        case $line in
            *"  Downloading "*) echo "  ${line#*Downloading }" ;;
            *Retrying*) echo "  the package index does not answer, trying again …" ;;
            "Installing collected packages"*) echo "installing …" ;;
        esac
    done
    if [ "$(tail -n 1 "$log")" != "=== done ===" ]; then
        tail -n 15 "$log" >&2
        echo "The packages could not be installed; the lines above say why, $log has all." >&2
        exit 1
    fi
}
install --require-hashes -r "$lock"
install --no-deps --no-build-isolation -e .
echo "$kind $want" > .venv/misto-stamp
echo "The environment is ready."
