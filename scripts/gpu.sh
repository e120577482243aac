#!/usr/bin/env bash
# Everything that needs a real GPU, in one command within 9 minutes: conformance, op table, golden nets, determinism,
# compute-sanitizer on the hot kernels, then the benchmarks against PyTorch.
#
#   scripts/gpu.sh [--only STEP,…] [--skip STEP,…] [--minutes M] [--out FOLDER]     (a STEP may be checks or benches: all
#                                                                                   of them)
#
# Runs on a bare machine: an NVIDIA driver, python3 with torch, and for what is built there nvcc, cmake and g++; no
# network, no npm, no Node: those parts come in .gpu/, which scripts/gpu-pack.mjs makes elsewhere. Writes gpu.json,
# gpu.md, gpu.log and what the conformance suite recorded to FOLDER ($OUT, or bench/results). Every step has a time limit
# of its own; one that fails is noted, and the next runs. Without a GPU it is a dry run: tiny sizes, on the addon that
# LANGEVIN_CUDA_ADDON names (the emulator's) or else on the CPU, and results go to build/gpu-dry-run.
set -uo pipefail
cd "$(dirname "$0")/.."
started=$(date +%s)

unpack() { # unpack ARCHIVE FOLDER
  mkdir -p "$2"
  tar --extract --xz --file "$1" --directory "$2" 2>/dev/null ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$1" "$2"
}

if [ -f .gpu/pack.json ]; then
  # A checkout with its own node_modules keeps what it built; what an earlier pack brought is replaced.
  if [ ! -e node_modules ] || { [ -f node_modules/.gpu-pack.json ] && ! cmp -s .gpu/pack.json node_modules/.gpu-pack.json; }; then
    rm -rf dist build/Release
    unpack .gpu/modules.tar.xz . && unpack .gpu/built.tar.xz . && cp .gpu/pack.json node_modules/.gpu-pack.json || exit 1
  fi
  if [ -f node_modules/.gpu-pack.json ]; then
    [ -x build/node/bin/node ] || unpack .gpu/node.tar.xz build/node || exit 1
    PATH="$PWD/build/node/bin:$PATH"
  fi
fi
if ! command -v node >/dev/null; then
  echo 'gpu.sh: there is no Node here and no .gpu/: run node scripts/gpu-pack.mjs where there is one' >&2
  exit 1
fi
# Where the toolkit lies if no profile was read.
[ -d /usr/local/cuda/bin ] && PATH="$PATH:/usr/local/cuda/bin"
exec node scripts/gpu/run.mjs --started "$started" "$@"
