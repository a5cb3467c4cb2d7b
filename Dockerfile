# One recipe for every image: `docker build --build-arg SERVICE=cartservice .`, or `docker compose build`
# for all of them. The binaries are compiled once; SERVICE chooses in the last stage. BUILD=profiled takes longer to
# compile what takes less to run.

# Where the binaries come from: the stage `build`, or an image that has them in /out.
ARG BINARIES=build

FROM docker.io/library/rust:1.95-bookworm AS build
ARG BUILD=static
WORKDIR /src
COPY . .
# What was fetched and compiled is kept for the next build.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    "scripts/$BUILD" /out

# hadolint ignore=DL3006
FROM ${BINARIES} AS binaries

FROM scratch
ARG SERVICE
ARG VERSION=v0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="${SERVICE}" \
      org.opencontainers.image.description="Online Boutique in Rust: ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=binaries /out/${SERVICE} /service
USER 65532:65532
ENTRYPOINT ["/service"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/service", "healthcheck"]
