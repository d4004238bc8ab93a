# The image is built from wheels alone, each checked against the hash that the repository holds.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_ROOT_USER_ACTION=ignore
RUN apt-get -qq update \
 && apt-get -qq install --yes --no-install-recommends binutils >/dev/null
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
# pip stays outside of the environment that the final image gets.
RUN python -m pip install --require-hashes --requirement requirements/build.txt \
 && python -m venv --without-pip /opt/syncer \
 && python -m pip --python /opt/syncer/bin/python install \
        --require-hashes --requirement requirements/runtime.txt \
# A third of it is debugging symbols, the libraries' own tests, and what modules were compiled from.
 && find /opt/syncer/lib -name '*.so' -exec strip --strip-debug {} + \
 && find /opt/syncer/lib -depth -type d \( -name testing -o -name tests \) -exec rm -r {} + \
 && find /opt/syncer/lib -type f \
        \( -name '*.[ch]' -o -name '*.[ch]pp' -o -name '*.pyx' -o -name '*.px[di]' \) -delete \
 && rm -r /opt/syncer/include
COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY syncer syncer
# Compiled once here, because the file system may be read-only later. Unchecked, because the sources
# cannot change under it.
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && python -m pip --python /opt/syncer/bin/python install --no-deps --no-index /dist/*.whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/syncer/lib

FROM ${PYTHON_IMAGE}
# Nobody installs anything here: neither by the base's pip nor by the copy that it keeps of it.
RUN PIP_ROOT_USER_ACTION=ignore python -m pip --quiet uninstall --yes pip \
 && rm -r "$(python -c 'import ensurepip; print(*ensurepip.__path__)')" \
 && groupadd --gid 10001 syncer \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin syncer
COPY --from=build /opt/syncer /opt/syncer
ENV PATH=/opt/syncer/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# ./config.toml is where the program looks for its configuration.
WORKDIR /etc/syncer
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["syncer", "health"]
ENTRYPOINT ["syncer"]
CMD ["run"]

# Last, so that a new commit rebuilds no layer.
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="syncer" \
      org.opencontainers.image.description="Keeps the AI Gateway invoices of many Cloudflare accounts in one PostgreSQL database" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
