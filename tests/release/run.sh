#!/usr/bin/env bash
# Builds sdist and wheel into dist/, and proves that the wheel is whole: into an empty environment with the locked
# packages, then version and demo from an empty folder. `make release` runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

uv=$PWD/.venv/bin/uv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tools are the locked ones of the environment, nothing is fetched: the wheel is made from the sdist.
rm -rf dist
"$uv" build --quiet --no-build-isolation --python .venv/bin/python --out-dir dist
ls -l dist
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
wheel=$PWD/dist/orchestrator-$version-py3-none-any.whl
test -f "$wheel" && test -f "dist/orchestrator-$version.tar.gz"

"$uv" venv --quiet --python .venv/bin/python "$work/empty"
"$uv" pip install --quiet --python "$work/empty/bin/python" --require-hashes -r deploy/requirements.lock
"$uv" pip install --quiet --python "$work/empty/bin/python" --no-deps "$wheel"
"$uv" pip check --quiet --python "$work/empty/bin/python"

mkdir "$work/here"
cd "$work/here"
program=(env -i HOME="$work/here" PATH=/usr/bin:/bin LANG=C.UTF-8 "$work/empty/bin/orchestrator")
test "$("${program[@]}" --version)" = "orchestrator $version"
"${program[@]}" demo | tee "$work/demo"
test "$(grep -c 'succeeded ft:' "$work/demo")" = 5
test -z "$(ls -A "$work/here")"
echo "orchestrator $version: sdist and wheel built, installed into an empty environment, demo ended with five models"
