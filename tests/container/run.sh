#!/usr/bin/env bash
# Builds the image and runs it, without a Docker engine: podman and buildah from Debian, as root. Everything the README
# and the how-tos promise about the container is looked at from outside. `make test-container` runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

IMAGE=localhost/orchestrator:test
BASE=localhost/python:3.13-slim-trixie
TOKEN=a-token-of-the-test
PORT=18080
TOOLS=(podman buildah runc debootstrap netavark iptables)

work=$(mktemp -d)
passed=0
failed=0
podman() { # there is no systemd to time the health checks: they are run by hand
    # A pipe, so that all has been said when it returns; its code is podman's.
    { command podman --storage-driver=vfs --runtime runc --cgroup-manager=cgroupfs "$@" 2>&1 >&3 |
        { grep -v 'systemd connection' >&2 || true; }; } 3>&1
}

clean() {
    for name in test-service test-odd test-sandbox; do  # one by one: it stops at the first that is not there
        podman rm --force --time 1 "$name" >/dev/null 2>&1 || true
    done
    podman volume rm --force test-data >/dev/null 2>&1 || true
    podman image prune --force >/dev/null 2>&1 || true
}
finish() {
    clean
    rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

# check WHAT COMMAND…: the command succeeds.
check() {
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
        sed 's/^/        /' "$work/said" | tail -20
    fi
}

not() { ! "$@"; }
says() { grep -qF -- "$1" "$2"; }

# The hardening every container of the test runs with; the limits are those a machine without privileges can grant.
HARD=(--read-only --read-only-tmpfs=false --cap-drop=all --security-opt=no-new-privileges
    --ulimit nofile=4096:4096 --ulimit nproc=4096:4096)
QUICK=(--env ORCHESTRATOR_POLL_MIN_SECONDS=0.2 --env ORCHESTRATOR_POLL_MAX_SECONDS=0.5)

service() {
    podman run -d --name test-service --network container:test-sandbox "${HARD[@]}" "${QUICK[@]}" \
        --volume "$work/config:/config:ro" --volume "$work/secrets:/run/secrets:ro" --volume test-data:/data \
        --env ORCHESTRATOR_TOKEN_FILE=/run/secrets/token --env ORCHESTRATOR_SETTINGS_FILE=/config/settings.env \
        "$IMAGE" >/dev/null
}

ask() { curl --silent --show-error --fail --max-time 5 -H "Authorization: Bearer $TOKEN" "http://127.0.0.1:$PORT$1"; }
models() { ask /status | python3 -c 'import json,sys; print(*sorted(j["fine_tuned_model"] or "" for j in json.load(sys.stdin)["jobs"]), sep="\n")'; }
paid() {
    podman exec test-sandbox python -c 'import json,urllib.request as u
accounts = json.load(u.urlopen("http://127.0.0.1:8090/sandbox/state"))["accounts"].values()
print(sum(len(account["jobs"]) for account in accounts), sum(len(account["files"]) for account in accounts))'
}
until_true() { # until_true SECONDS COMMAND…
    for _ in $(seq $(($1 * 5))); do
        if "${@:2}" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    "${@:2}"
}
all_there() { [ "$(models | grep -c '^ft:')" = 5 ]; }
inside() { podman exec test-service "$@"; }
debug_after_hup() {
    echo ORCHESTRATOR_LOG_LEVEL=debug >"$work/config/settings.env"
    podman kill --signal HUP test-service
    until_true 10 sh -c "podman --storage-driver=vfs logs test-service 2>&1 | grep -q '\"log_level\": \"debug\"'"
}
seconds_of() { # seconds_of COMMAND…
    local from=$SECONDS
    "$@" >/dev/null
    echo $((SECONDS - from))
}

say "tools"
missing=()
for tool in "${TOOLS[@]}" curl; do dpkg -s "$tool" >/dev/null 2>&1 || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
podman --version

clean

say "image"
podman image exists "$BASE" || sh tests/container/base.sh "$BASE" >/dev/null
buildah --storage-driver=vfs build --isolation=chroot --format docker --pull-never \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" -t "$IMAGE" . >"$work/build.log" 2>&1 ||
    { tail -30 "$work/build.log"; exit 1; }
podman image inspect "$IMAGE" --format 'size {{.Size}} bytes, of which the base:'
podman image inspect "$BASE" --format '     {{.Size}} bytes'
podman image inspect "$IMAGE" >"$work/image.json"
check "labels: version and licence" says "\"org.opencontainers.image.version\": \"$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)\"" "$work/image.json"
check "runs as 10001, not root" says '"User": "10001:10001"' "$work/image.json"

say "one-off commands"
podman run --rm --timeout 120 --network none --tmpfs /tmp "${HARD[@]}" "$IMAGE" demo >"$work/demo" 2>&1 || true
tail -14 "$work/demo"
check "the demo ends with five model ids" test "$(grep -c 'succeeded ft:' "$work/demo")" = 5
code=0
podman run --rm "${HARD[@]}" "$IMAGE" >"$work/refused" 2>&1 || code=$?
check "without a token it refuses to listen, exit 2" test "$code" = 2
check "and says what to set" says ORCHESTRATOR_TOKEN_FILE "$work/refused"
check "the health check fails where nothing listens" \
    not podman run --rm "${HARD[@]}" --entrypoint python "$IMAGE" /opt/orchestrator/healthcheck.py
check "the signers of Bedrock and Vertex AI are installed" \
    podman run --rm "${HARD[@]}" --entrypoint python "$IMAGE" -c 'import botocore.auth, google.oauth2.service_account'
podman run -d --name test-odd "${HARD[@]}" --entrypoint tini "$IMAGE" -- python -c 'import time; time.sleep(60)' >/dev/null
took=$(seconds_of podman stop -t 30 test-odd)
check "PID 1 hands a signal to a command without handlers ($took s)" test "$took" -lt 10

say "the service"
mkdir -p "$work/config/keys" "$work/secrets"
echo ORCHESTRATOR_LOG_LEVEL=info >"$work/config/settings.env"
cp -r chats "$work/config/chats"
cp deploy/demo/accounts.toml "$work/config/accounts.toml"
cp deploy/demo/keys/* "$work/config/keys/"
sed -i 's#^dataset = .*#dataset = "chats"#' "$work/config/accounts.toml"
echo "$TOKEN" >"$work/secrets/token"
chmod 755 "$work"
check "a look at the chats needs no token" \
    podman run --rm "${HARD[@]}" --volume "$work/config:/config:ro" "$IMAGE" check
podman run -d --name test-sandbox -p "127.0.0.1:$PORT:8080" "${HARD[@]}" --tmpfs /tmp --no-healthcheck "$IMAGE" \
    sandbox --port 8090 --seconds 2 >/dev/null
service
check "the status from outside, with the token" until_true 30 ask /status
check "not without it" test "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/status")" = 401
check "the health check" podman healthcheck run test-service
check "the dashboard's page" ask /
check "five model ids at /status" until_true 60 all_there
podman logs test-service >"$work/logs" 2>&1
check "the same five in the logs" test "$(grep -oE 'ft:[^" ]+' "$work/logs" | sort -u)" = "$(models)"
grep -m1 'ft:' "$work/logs" || true
models
check "no token and no key in the logs" not grep -qE "$TOKEN|sandbox-(acme|blue|green|sunrise)" "$work/logs"
check "orchestrator models, inside" inside orchestrator models
check "orchestrator doctor finds nothing wrong" inside orchestrator doctor
inside orchestrator doctor || true
inside orchestrator config >"$work/settings"
check "orchestrator config shows no token" not grep -qF "$TOKEN" "$work/settings"
check "but where it is from" says /run/secrets/token "$work/settings"
check "a backup while it runs" inside orchestrator backup /data/backup.tar
podman cp test-service:/data/backup.tar "$work/backup.tar"
check "readable by its owner only" test "$(stat -c %a "$work/backup.tar")" = 600
check "a debug level after SIGHUP" debug_after_hup

say "hardening"
inside cat /proc/1/status >"$work/proc"
grep -E '^(Name|Uid|CapEff|CapBnd|NoNewPrivs)' "$work/proc"
check "PID 1 is tini" grep -qE '^Name:\s+tini' "$work/proc"
check "not root" grep -qE '^Uid:\s+10001\s+10001' "$work/proc"
check "no capabilities" grep -qE '^CapEff:\s+0+$' "$work/proc"
check "none to be had" grep -qE '^CapBnd:\s+0+$' "$work/proc"
check "no new privileges" grep -qE '^NoNewPrivs:\s+1' "$work/proc"
for place in / /opt/orchestrator /config /tmp /run/secrets; do
    check "nothing can be written in $place" not inside python -c "open('$place/probe', 'w')"
done
check "but in /data" inside python -c "open('/data/probe', 'w')"

say "stop and start"
before=$(models)
bill=$(paid)
took=$(seconds_of podman stop -t 30 test-service)
check "SIGTERM ends it ($took s)" test "$took" -lt 10
check "with exit code 0" test "$(podman inspect test-service --format '{{.State.ExitCode}}')" = 0
podman logs test-service >"$work/logs" 2>&1
check "in an orderly way" says service.stopped "$work/logs"
podman start test-service >/dev/null
check "a restart keeps the models" until_true 30 all_there
check "the same ones" test "$(models)" = "$before"
sleep 3
check "and spends nothing ($bill jobs and files)" test "$(paid)" = "$bill"

podman rm -f -t 10 test-service >/dev/null
service
check "a new container on the old volume: the same models" until_true 30 all_there
sleep 3
check "and spends nothing ($(paid))" test "$(paid)" = "$bill"

podman rm -f -t 10 test-service >/dev/null
podman volume rm test-data >/dev/null
service
check "the volume lost: the models are found again" until_true 60 all_there
check "the same ones" test "$(models)" = "$before"
check "no job was paid twice ($(paid))" test "$(paid | cut -d' ' -f1)" = "${bill% *}"

podman rm -f -t 10 test-service >/dev/null
podman volume rm test-data >/dev/null
install -D -m 644 "$work/backup.tar" "$work/public/backup.tar"  # the container's user is not the test's
check "a backup is restored into an empty volume" \
    podman run --rm "${HARD[@]}" --volume "$work/config:/config:ro" --volume test-data:/data --volume "$work/public:/backup:ro" \
    "$IMAGE" restore /backup/backup.tar
service
check "the restored service has the models" until_true 30 all_there
check "the same ones" test "$(models)" = "$before"
sleep 3
check "and spends nothing ($(paid | cut -d' ' -f1))" test "$(paid | cut -d' ' -f1)" = "${bill% *}"

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
