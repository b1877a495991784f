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
# Only what is ours: MISTO_RUNTIME_DIR may be a folder that holds more.
for folder in "$elsewhere" "$runtime"; do
    [ -d "$folder" ] || continue
    rm -rf "$folder"/root-* "$folder/apt" "$folder/data" "$folder/logs" "$folder/elsewhere" \
        "$folder/simulators.json" "$folder/demo.lock"
    rmdir "$folder" 2> /dev/null || true
done
rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
