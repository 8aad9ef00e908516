# A worker with the bundled models, without torch or a compiler. It does not run as root.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY config config
COPY producer producer
COPY models models
COPY worker worker
COPY deploy/celeriac-worker deploy/celeriac-worker
RUN python -m venv /opt/celeriac \
    && /opt/celeriac/bin/pip install --no-cache-dir -c constraints.txt . './deploy/celeriac-worker[flower]'

FROM python:3.12-slim
# For core leases that containers share. A new volume mounted here takes the directory's mode, so any uid can use it.
RUN useradd --system --uid 10001 --no-create-home celeriac \
    && install -d -m 1777 /run/celeriac-cores
COPY --from=build /opt/celeriac /opt/celeriac
ENV PATH=/opt/celeriac/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CELERIAC_COMPILED_DIR=/tmp/celeriac-compiled \
    CELERIAC_METRICS_PORT=9808
USER 10001
WORKDIR /tmp
# Queries the worker's own page, which works for any node name. bash does it without starting Python on the worker's core.
# Without a port there is nothing to query.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["bash", "-c", "[ -n \"$CELERIAC_METRICS_PORT\" ] || exit 0; exec 3<>\"/dev/tcp/${CELERIAC_METRICS_HOST:-127.0.0.1}/$CELERIAC_METRICS_PORT\" && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 5 _ status _ <&3 && [ \"$status\" = 200 ] || exit 1"]
CMD ["celery", "-A", "worker", "worker", "--loglevel=INFO"]
