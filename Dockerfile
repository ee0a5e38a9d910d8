# The server alone: docker build -t thymos . && docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8450:8450 \
#   -e THYMOS_TOKEN=… thymos
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /opt/thymos \
    && /opt/thymos/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[serve]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin thymos
COPY --from=build /opt/thymos /opt/thymos
ENV PATH=/opt/thymos/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 THYMOS_CACHE=/tmp/thymos
USER 10001
EXPOSE 8450
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8450/readyz', timeout=4)"]
# Without THYMOS_TOKEN it ends with one sentence: a container's port may be open to a network.
ENTRYPOINT ["thymos", "serve", "--host", "0.0.0.0", "--log", "json"]
