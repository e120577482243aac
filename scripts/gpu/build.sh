#!/usr/bin/env bash
# Builds build/Release/cuda.node with CMake, without npm, for the GPU that is here.
set -euo pipefail
cd "$(dirname "$0")/../.."

headers=build/node/include/node # of the Node that .gpu/ brought
[ -d "$headers" ] || headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")/include/node
case $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0) in
  9.0) architectures='90a-real' ;;
  8.*) architectures='80-real' ;;
  *) architectures='80-real;80-virtual' ;;
esac
cmake -S . -B build/cuda -DCMAKE_BUILD_TYPE=Release -DLANGEVIN_ARCHITECTURES="$architectures" \
  -DNODE_HEADERS="$(realpath "$headers")" -DNODE_ADDON_API="$(realpath node_modules/node-addon-api)"
cmake --build build/cuda --parallel "$(nproc)"
