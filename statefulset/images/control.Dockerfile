# What runs beside the nodes; safe-node is there too, because certificates are made in one place.
# From the top folder: buildah bud -f statefulset/images/control.Dockerfile -t localhost/raftsafe/control:0.1.0 .
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
# Where the package index has an authority of its own: the path of its certificate.
ARG PIP_CERT
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3 python3-venv python3-pip
WORKDIR /build
COPY statefulset/images/build.lock statefulset/images/control.lock ./
RUN python3 -m venv tools && tools/bin/pip install -q --no-cache-dir --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY node node
COPY sidecar sidecar
COPY statefulset statefulset
RUN tools/bin/pip wheel -q --no-cache-dir --no-deps --no-build-isolation -w dist .
# No installer in what is shipped. Byte code is made here and never looked for again: the file system is read-only.
RUN python3 -m venv --without-pip /opt/raftsafe \
 && pip --python /opt/raftsafe/bin/python install -q --no-cache-dir --no-compile --require-hashes -r control.lock \
 && pip --python /opt/raftsafe/bin/python install -q --no-cache-dir --no-compile --no-deps dist/*.whl \
 && cd /opt/raftsafe && rm -rf bin/activate* bin/Activate* \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash lib

FROM ${BASE}
# The same in all three images, and before what differs: one layer for all of them.
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/* /var/log/* /usr/share/doc /usr/share/man
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="raftsafe control" \
      org.opencontainers.image.description="Injects raftsafe sidecars and reconciles SafeSecrets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /opt/raftsafe /opt/raftsafe
ENV PATH=/opt/raftsafe/bin:/usr/bin:/bin HOME=/ PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
WORKDIR /
USER 65532:65532
ENTRYPOINT ["safe-control"]
