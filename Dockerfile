# By default a worker that runs the syncs. Other commands: docker run -p 8000:8000 IMAGE acsync serve --host 0.0.0.0
#
# Build: docker build -t acsync:0.2.0 --build-arg SOURCE_COMMIT=$(git rev-parse HEAD) .    A digest pins the base: --build-arg BASE=python@sha256:...
ARG BASE=python:3.12.12-slim-trixie

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# hadolint ignore=DL3008  # an init of two files, which Debian changes only for security fixes
RUN apt-get update && apt-get install --yes --no-install-recommends tini

COPY requirements.lock ./
RUN python -m venv --without-pip /opt/acsync \
 && python -m pip --python /opt/acsync/bin/python install --no-deps --require-hashes -r requirements.lock

# The tools that build the wheel are locked too, and are not copied to the final stage.
COPY requirements-build.lock ./
RUN python -m venv tools \
 && tools/bin/python -m pip install --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY acsync acsync
COPY flows flows
COPY migrations migrations
RUN tools/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/acsync/bin/python install --no-deps --no-index dist/*.whl


FROM ${BASE}
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/acsync acsync
COPY --from=build /usr/bin/tini-static /usr/bin/tini
COPY --from=build /opt/acsync /opt/acsync

ENV PATH=/opt/acsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    ACSYNC_DATA_DIR=/var/lib/acsync \
    PREFECT_HOME=/var/lib/acsync/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/var/lib/acsync/prefect/ui \
    PREFECT_WORKER_WEBSERVER_PORT=8080
# Docker and Kubernetes work pools run `prefect flow-run execute` in one container per run. If that is
# stopped, Prefect 3.9.1 by default leaves the run unfinished; with this setting it reschedules the run.
ENV PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR=reschedule

# Shown by `acsync --version`.
ARG SOURCE_COMMIT=
ENV SOURCE_COMMIT=$SOURCE_COMMIT

# A number lets Kubernetes verify that the user is not root.
USER 10001:10001
WORKDIR /var/lib/acsync

# Fits a worker, `acsync serve` on any port, a Prefect server, and the container of a single run.
# Monitors ask /healthz for the age of the data.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-m", "acsync.web.health"]
EXPOSE 8000

STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "flows.worker", "--pool", "acsync", "--type", "process", "--with-healthcheck"]
