# One image for the API, the workers and the migration; `docker-compose.yml` gives each its command.
# It needs nothing that a builder without BuildKit lacks.
#
# On x86_64 the locked torch is the CUDA build, so the same image serves `worker` and `worker-gpu`.
# A much smaller image without CUDA: pass the address of PyTorch's index of CPU wheels,
#   docker-compose build --build-arg PIP_EXTRA_INDEX_URL=ADDRESS
# pip then prefers the same release's `+cpu` wheel.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The pages, with Node.js from its wheel: one base image is enough.
FROM ${PYTHON_IMAGE} AS pages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHON=/opt/node/bin/python
RUN python -m venv /opt/node
WORKDIR /src
COPY web web
RUN web/with-node npm ci && web/with-node npm run build

FROM ${PYTHON_IMAGE} AS build
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/perceptron
WORKDIR /src
# The dependencies are a layer of their own: a change of the code does not install torch again.
COPY requirements.lock ./
RUN /opt/perceptron/bin/pip install -r requirements.lock
COPY . .
COPY --from=pages /src/service/static service/static
RUN /opt/perceptron/bin/pip install --no-deps . \
    && /opt/perceptron/bin/pip uninstall --yes pip setuptools
# Workers would compile the kernels for some 20 s at each start otherwise.
RUN NUMBA_CACHE_DIR=/opt/perceptron/kernels PYTHONDONTWRITEBYTECODE=1 \
    /opt/perceptron/bin/python -P -c "from perceptron import engines; engines.warm_up('fused')"

FROM ${PYTHON_IMAGE}
# What figures as PNG write Korean with; the image is good without it, where no mirror can be reached.
RUN (apt-get update && apt-get install --yes --no-install-recommends fonts-nanum) \
        || echo "No fonts-nanum: figures as PNG are in English, with boxes for names in Hangul." >&2; \
    rm -rf /var/lib/apt/lists/*
# A fixed number, so that the owner of a mounted directory can be given on any host.
RUN groupadd --gid 10001 perceptron \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin perceptron \
    && install -d -o perceptron -g perceptron -m 0750 /var/lib/perceptron
COPY --from=build /opt/perceptron /opt/perceptron
COPY deploy/entrypoint.sh /opt/perceptron/bin/entrypoint.sh
ENV PATH=/opt/perceptron/bin:${PATH} \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/kernels \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PERCEPTRON_DATA_DIR=/var/lib/perceptron
USER 10001:10001
WORKDIR /var/lib/perceptron
EXPOSE 8000
ENTRYPOINT ["entrypoint.sh"]
# Alone, a container is the whole service, with SQLite and the embedded Valkey in the data directory.
CMD ["perceptron", "up", "--host", "0.0.0.0", "--port", "8000"]
