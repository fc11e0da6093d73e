# An image for pipelines: holdpoint, and the clients of the databases that it captures. docs/delivery.md tells how to build and use it.
#
#   docker build .                                builds holdpoint from this source
#   docker build --build-arg BINARY=release .     takes the static one that scripts/release packed, after a look at its SHA-256

# Debian's release decides how new the clients are: a dump program must not be older than its server.
ARG DEBIAN=bookworm
ARG RUST=1.95
ARG BINARY=source
ARG VERSION=0.1.0

FROM rust:${RUST}-slim-${DEBIAN} AS source
WORKDIR /source
COPY . .
# zlib from its source as well, so that the image needs nothing more for it.
RUN LIBZ_SYS_STATIC=1 cargo build --release --locked && install -D target/release/holdpoint /out/holdpoint

FROM debian:${DEBIAN}-slim AS release
ARG VERSION
ARG TARGETARCH
WORKDIR /release
COPY target/release-${VERSION}/ ./
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) machine=x86_64 ;; \
        arm64) machine=aarch64 ;; \
        *) echo "there is no release of holdpoint for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    name="holdpoint-$VERSION-$machine-unknown-linux-musl"; \
    grep "  $name.tar.gz\$" SHA256SUMS >sum; \
    sha256sum --check --strict sum; \
    tar --extract --gzip --file "$name.tar.gz"; \
    install -D "$name/holdpoint" /out/holdpoint

# hadolint ignore=DL3006 # one of the two stages above
FROM ${BINARY} AS binary

FROM debian:${DEBIAN}-slim
ARG VERSION
LABEL org.opencontainers.image.title="holdpoint" \
      org.opencontainers.image.description="A hold point for deployments: no restorable snapshot, no deploy" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# The versions are Debian's of the day that the image is built: security updates are worth more than the same bytes.
# hadolint ignore=DL3008
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates \
        git \
        mariadb-client \
        openssh-client \
        postgresql-client \
        redis-tools \
        sqlite3 && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 65532 holdpoint && \
    useradd --uid 65532 --gid 65532 --create-home --shell /bin/bash holdpoint && \
    # A runner mounts the working tree, and it belongs to whom the runner likes: git would refuse to read it.
    git config --system --add safe.directory '*'
COPY --from=binary /out/holdpoint /usr/local/bin/holdpoint
USER 65532:65532
WORKDIR /workspace
# No ENTRYPOINT: GitLab, GitHub and Jenkins start a shell in the image, and a program in front of it would get the shell's arguments.
CMD ["holdpoint", "--help"]
