#!/bin/sh
# Builds a fuzzer with clang, ASan and UBSan and runs it on its seeds.
# usage: run.sh journal [SECONDS]     findings are left in build-fuzz/
set -eu
cd "$(dirname "$0")/../.."
name=$1 seconds=${2:-60}
mkdir -p "build-fuzz/$name"
clang=$(command -v clang || command -v clang-14) || { echo "clang is needed: apt-get install clang" >&2; exit 69; }
# shellcheck disable=SC2046
"$clang" -g -O1 -std=gnu11 -D_GNU_SOURCE -Isrc -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  -o "build-fuzz/fuzz_$name" "tests/fuzz/fuzz_$name.c" src/journal/*.c src/base/*.c $(pkg-config --cflags --libs libcrypto) -pthread
"build-fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=20000 -artifact_prefix=build-fuzz/ "build-fuzz/$name" "tests/fuzz/$name"
