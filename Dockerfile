# Takes the same steps as `make run` on a bare Debian: make install, then heed migrate and heed serve.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /heed
COPY Makefile pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY app app
COPY detectors detectors
COPY feedback feedback
COPY migrations migrations
COPY alembic.ini ./
RUN make install

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /heed --shell /usr/sbin/nologin heed \
    && mkdir /data && chown heed /data
WORKDIR /heed
COPY --from=build /heed /heed
USER heed
ENV HEED_HOST=0.0.0.0 HEED_PORT=8000 HEED_DATA_DIR=/data PYTHONDONTWRITEBYTECODE=1
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["/heed/.venv/bin/python", "-c", "import urllib.request as u, os; u.urlopen('http://127.0.0.1:' + os.environ['HEED_PORT'] + '/healthz', timeout=2)"]
# One process, no shell around it: it gets the signals itself. `serve` brings the database up to date first.
ENTRYPOINT ["/heed/.venv/bin/heed"]
CMD ["serve"]
