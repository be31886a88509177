# The image of a release: what docker/Dockerfile makes, of the binaries that the release has built already (.goreleaser.yaml).

FROM scratch
ARG VERSION=devel
ARG TARGETPLATFORM
LABEL org.opencontainers.image.title="eos-pipe" \
      org.opencontainers.image.description="Moves records between Kafka topics exactly once" \
      org.opencontainers.image.source="https://github.com/eos-pipe/eos-pipe" \
      org.opencontainers.image.documentation="https://github.com/eos-pipe/eos-pipe/blob/main/docs/deploy.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY bin/release/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY $TARGETPLATFORM/eos-pipe /eos-pipe
USER 65532:65532
EXPOSE 9404
ENTRYPOINT ["/eos-pipe"]
