# A worker with the bundled models: no torch, no compiler, not root.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY config config
COPY producer producer
COPY models models
COPY worker worker
RUN python -m venv /opt/celeriac \
    && /opt/celeriac/bin/pip install --no-cache-dir -c constraints.txt '.[worker,flower]' \
    && cp -r models/bundled /opt/celeriac/lib/python3.12/site-packages/models/bundled

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home celeriac
COPY --from=build /opt/celeriac /opt/celeriac
ENV PATH=/opt/celeriac/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CELERIAC_COMPILED_DIR=/tmp/celeriac-compiled
USER 10001
WORKDIR /tmp
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["sh", "-c", "celery -A worker inspect ping --timeout 5 --destination celery@$(hostname)"]
CMD ["celery", "-A", "worker", "worker", "--loglevel=INFO"]
