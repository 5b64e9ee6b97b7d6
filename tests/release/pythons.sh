#!/usr/bin/env bash
# The unit floor on every supported Python that this machine has; each in an environment of its own, with the locked
# packages. `make test-pythons` runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export UV_PYTHON_DOWNLOADS=never

uv=$PWD/.venv/bin/uv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
supported=$(sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
ran=()

# On the path, or kept by pyenv, whose names on the path are only shims.
interpreter() {
    local kept
    for kept in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python "$("$uv" python find --system "$1" 2>/dev/null)"; do
        if [ -x "$kept" ]; then
            echo "$kept"
            return
        fi
    done
    return 1
}

for version in $supported; do
    if ! python=$(interpreter "$version"); then
        echo "== Python $version: not on this machine"
        continue
    fi
    "$uv" venv --quiet --python "$python" "$work/$version"
    "$uv" pip install --quiet --python "$work/$version/bin/python" --require-hashes -r requirements.lock
    "$uv" pip install --quiet --python "$work/$version/bin/python" --no-deps -e .
    echo "== $("$work/$version/bin/python" --version)"
    "$work/$version/bin/python" -m pytest -q -n 2 -p no:cacheprovider tests/unit
    ran+=("$version")
done
echo "the unit floor passed on: ${ran[*]}"
test ${#ran[@]} -gt 0
