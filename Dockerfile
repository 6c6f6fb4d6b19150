# payrig's programs for compose.yaml: payrig-server, payrig-channel and payrig.
FROM rust:1.95-bookworm AS build
# The image's own toolchain, without the lints that rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked -p payrig -p payrig-server -p payrig-channel \
    && mkdir /out && cp target/release/payrig target/release/payrig-server target/release/payrig-channel /out/

FROM debian:bookworm-slim
# curl is for health checks.
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 payrig && install -d -o payrig -g payrig /data /keys
COPY --from=build /out/ /usr/local/bin/
USER payrig
WORKDIR /data
CMD ["payrig-server"]
