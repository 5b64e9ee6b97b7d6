# Two stages: the first builds; the second has Python, the locked packages, the program and an init. Any builder works.
#
#   docker build -t orchestrator .
#   docker run --rm orchestrator demo
#
# `make lock` creates deploy/requirements.lock and deploy/build.lock. The image has the extras postgres, alerts, bedrock and
# vertex; the wheel alone has none.

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY deploy/build.lock deploy/requirements.lock deploy/
RUN python -m venv /build \
 && python -m venv --without-pip /opt/orchestrator \
 && /build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r deploy/build.lock
ENV PIP="/build/bin/pip --python /opt/orchestrator/bin/python --no-cache-dir"
RUN $PIP install --only-binary :all: --require-hashes -r deploy/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY orchestrator orchestrator
COPY migrations migrations
COPY chats chats
RUN /build/bin/hatchling build --target wheel --directory dist \
 && $PIP install --no-deps dist/*.whl

FROM python:3.13-slim-trixie
# tini is PID 1: it forwards signals, so that even a command that has just started ends at once, and reaps the child
# processes that `cmd:` references leave behind. The HTTP client trusts the system's certificates.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin orchestrator \
 && install -d -o orchestrator -g orchestrator -m 700 /data \
 && install -d /config
COPY --from=build /opt/orchestrator /opt/orchestrator
COPY deploy/healthcheck.py /opt/orchestrator/healthcheck.py

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="orchestrator" \
      org.opencontainers.image.description="One dataset, many accounts, one fine-tuned model in each." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# Mounts: /config (read-only: accounts.toml, chats, keys) and /data (the SQLite database and the datasets). The program
# writes nowhere else, except that `demo` and `sandbox` use /tmp: the root file system may be read-only.
# MALLOC_MMAP_THRESHOLD_ keeps glibc from raising its limit: large buffers return to the system when they are freed. asyncio
# receives into buffers of 256 KB, which otherwise stay in the heap and fragment it: 3 MB within seconds.
ENV PATH=/opt/orchestrator/bin:$PATH \
    MALLOC_MMAP_THRESHOLD_=131072 \
    ORCHESTRATOR_ACCOUNTS_FILE=/config/accounts.toml \
    ORCHESTRATOR_DATA_DIR=/data
WORKDIR /config
VOLUME /data
EXPOSE 8080
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "/opt/orchestrator/healthcheck.py"]
ENTRYPOINT ["tini", "--", "orchestrator"]
# Reachable from outside the container: requires ORCHESTRATOR_TOKEN, or better ORCHESTRATOR_TOKEN_FILE.
CMD ["serve", "--host", "0.0.0.0"]
