# Govern's API and worker in one image. Not built in the project's own tests (they have no container engine).
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/bootstrap.lock requirements/dev.lock requirements/
RUN python -m venv /opt/govern \
    && /opt/govern/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/bootstrap.lock \
    && /opt/govern/bin/uv pip sync --no-cache --python /opt/govern/bin/python --require-hashes requirements/dev.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY lineage lineage
COPY trainers trainers
COPY audits audits
COPY reports reports
COPY governance governance
COPY examples examples
RUN /opt/govern/bin/uv pip install --no-cache --python /opt/govern/bin/python --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home govern && install -d -o govern -g govern -m 0700 /var/lib/govern
COPY --from=build /opt/govern /opt/govern
ENV PATH=/opt/govern/bin:$PATH GOVERN_HOME=/var/lib/govern PYTHONUNBUFFERED=1
USER govern
WORKDIR /var/lib/govern
VOLUME /var/lib/govern
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/readyz', timeout=4)"]
ENTRYPOINT ["govern"]
CMD ["serve", "--home", "/var/lib/govern", "--host", "0.0.0.0", "--port", "5000"]
