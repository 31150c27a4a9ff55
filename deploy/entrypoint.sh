#!/bin/sh
# The kernels were compiled with the image. Their machine code goes where more can be added, as the
# root file system is read-only and another processor needs its own.
set -e
[ -e "$NUMBA_CACHE_DIR" ] || cp -R /opt/perceptron/kernels "$NUMBA_CACHE_DIR"
exec "$@"
