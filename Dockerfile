# The daemon in a container: docker build -t gitsync . && docker run -v gitsync:/var/lib/gitsync … gitsync URL
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --create-home --home-dir /home/gitsync gitsync \
    && install -d -o gitsync -g gitsync -m 0700 /var/lib/gitsync /home/gitsync/.ssh
COPY --from=build /src/target/release/gitsync /usr/local/bin/gitsync
USER gitsync
ENV GITSYNC_STATE=/var/lib/gitsync
VOLUME /var/lib/gitsync
# Mount the deploy key and known_hosts below /home/gitsync/.ssh, settings at /etc/gitsync/config.yaml.
STOPSIGNAL SIGTERM
ENTRYPOINT ["gitsync", "run"]
