#!/usr/bin/env bash
# A new user's path, command by command: from the wheel, an empty folder and an empty home to the model ids, without an
# editor. `make first-hour` runs it in a fresh virtual environment, `tests/release/first_hour.sh container` in an empty
# container without a network, where podman has an image of Python. Each command runs in a terminal of 80 columns; the
# transcript is test-artifacts/first-hour.txt. It fails if a command has another exit code than expected, if no model
# id is printed, or if the path takes three minutes or longer.
set -euo pipefail
cd "$(dirname "$0")/../.."

MAX_SECONDS=180
IMAGE=${IMAGE:-localhost/python:3.13-slim-trixie}
PORT=${PORT:-18190}
where=${1:-local}
work=$(mktemp -d)
transcript=$PWD/test-artifacts/first-hour.txt
uv=$PWD/.venv/bin/uv
mkdir -p test-artifacts "$work/wheel" "$work/here" "$work/home"
cp -r chats "$work/here/chats" # the user's own data

finish() {
    if [ -n "${sandbox:-}" ]; then kill "$sandbox" 2>/dev/null || true; fi
    if [ "$where" = container ]; then podman_ rm --force --time 1 first-hour >/dev/null 2>&1 || true; fi
    rm -rf "$work"
}
trap finish EXIT
podman_() { command podman --storage-driver=vfs --runtime runc --cgroup-manager=cgroupfs "$@"; }

"$uv" build --quiet --wheel --no-build-isolation --python .venv/bin/python --out-dir "$work/wheel"
wheel=$(basename "$work"/wheel/*.whl)

if [ "$where" = container ]; then
    .venv/bin/python -m pip download --quiet --only-binary=:all: --python-version 3.13 --no-deps \
        --dest "$work/wheel" -r deploy/requirements.lock
    podman_ run --detach --name first-hour --network none --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 \
        --volume "$work/wheel:/wheel:ro" --volume "$work/here:/here" --workdir /here "$IMAGE" sleep 3600 >/dev/null
    podman_ exec first-hour pip install --quiet --no-index --find-links /wheel --root-user-action ignore "/wheel/$wheel"
    enter=(podman_ exec --tty --env TERM=dumb --env COLUMNS=80 --env NORTH_KEY=sandbox-north
        --env SOUTH_KEY=sandbox-south first-hour)
else
    "$uv" venv --quiet --python .venv/bin/python "$work/empty"
    "$uv" pip install --quiet --python "$work/empty/bin/python" --require-hashes -r deploy/requirements.lock
    "$uv" pip install --quiet --python "$work/empty/bin/python" --no-deps "$work/wheel/$wheel"
    enter=(env -i "HOME=$work/home" "PATH=$work/empty/bin:/usr/bin:/bin" LANG=C.UTF-8 TERM=dumb COLUMNS=80
        NORTH_KEY=sandbox-north SOUTH_KEY=sandbox-south)
fi

# In a terminal: `script` makes one here, podman in the container.
run_in_terminal() {
    if [ "$where" = container ]; then
        "${enter[@]}" bash -c "stty cols 80 rows 50; $1"
    else
        (cd "$work/here" && "${enter[@]}" script --quiet --return --command "stty cols 80 rows 50; $1" /dev/null </dev/null)
    fi
}

begin=$(date +%s)
# step EXPECTED COMMAND: run it, show it, and check its exit code.
step() {
    local start code=0
    start=$(date +%s%N)
    printf '\n$ %s\n' "$2"
    run_in_terminal "$2" | tr -d '\r' || code=$?
    printf '[exit %s, %s ms]\n' "$code" $((($(date +%s%N) - start) / 1000000))
    if [ "$code" != "$1" ]; then
        echo "FAILED: expected exit code $1"
        return 1
    fi
}

take_path() {
    step 0 'orchestrator --version'
    step 0 'orchestrator --help'
    step 2 'orchestrator plan' # too early: the message names the next step
    step 2 'orchestrator stats'
    echo
    echo "\$ orchestrator sandbox --port $PORT --seconds 3 &"
    if [ "$where" = container ]; then
        podman_ exec --detach first-hour orchestrator sandbox --port "$PORT" --seconds 3 >/dev/null
    else
        "${enter[@]}" orchestrator sandbox --port "$PORT" --seconds 3 >/dev/null 2>&1 &
        sandbox=$!
    fi
    step 0 "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", $PORT))' 2>/dev/null; do sleep 0.2; done"
    step 0 'orchestrator check chats'
    step 0 "orchestrator init --yes --name north --provider openai --api-key env:NORTH_KEY --base-url http://127.0.0.1:$PORT/v1 --base-model sandbox-small"
    step 1 'orchestrator models' # nothing was trained yet
    step 0 "orchestrator account add south --provider openai --api-key env:SOUTH_KEY --base-url http://127.0.0.1:$PORT/v1"
    step 0 'orchestrator validate'
    step 0 'orchestrator doctor'
    step 0 'orchestrator accounts'
    step 0 'orchestrator plan'
    step 0 'orchestrator run'
    step 0 'orchestrator status'
    step 0 'orchestrator models'
    step 0 'orchestrator logs north'
    step 0 'orchestrator models --format env'
    step 0 'orchestrator run' # nothing is left to do, and nothing is paid twice
}

# The transcript is for readers: without colours and moved cursors.
take_path 2>&1 | sed -u 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | tee "$transcript"
seconds=$(($(date +%s) - begin))
models=$(grep -oE '^MODEL_(NORTH|SOUTH)=ft:sandbox-small:.+' "$transcript" | sort -u | wc -l)
echo
echo "$seconds seconds from the first command to the last, $models model ids; transcript: $transcript"
test "$seconds" -lt "$MAX_SECONDS" && test "$models" = 2
