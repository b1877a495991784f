#!/bin/sh
# Removes everything that was made here: the environment, the private servers, the demo's data, caches.
set -eu
cd "$(dirname "$0")/.."
runtime=${MISTO_RUNTIME_DIR:-.runtime}
# As root in a folder that is closed to others, the runtime lives elsewhere.
elsewhere=
[ ! -L "$runtime/elsewhere" ] || elsewhere=$(readlink "$runtime/elsewhere")
for folder in "$runtime" "$elsewhere"; do
    if [ -e "$folder/demo.lock" ] && command -v flock > /dev/null && ! flock -n "$folder/demo.lock" true; then
        echo "A demo is running in $folder; stop it first, with Ctrl-C where it was started." >&2
        exit 1
    fi
done
[ -z "$elsewhere" ] || rm -rf "$elsewhere"
rm -rf "$runtime" .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
