# The image for a machine with Docker and a registry. `node build.mjs --image` makes one without either.
# Build: node build.mjs && docker build -t localhost/dummy-fuse-csi:1.0.0 .
FROM debian:12-slim
# The plugin asks mounts for their state by stat(1), and people by ls and mount: all three are there.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libstdc++6 mount \
 && rm -rf /var/lib/apt/lists/*
COPY dist/dummy-fuse-csi /bin/dummy-fuse-csi
RUN for program in dummy-fuse dummy-fuse-keep dummy-fuse-workload dummy-fused dummy-holder dummy-restarter dummy-shield dummy-standby; do \
      ln -s dummy-fuse-csi "/bin/$program"; \
    done
ENTRYPOINT ["/bin/dummy-fuse-csi"]
