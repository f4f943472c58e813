#!/bin/sh
# Installs the Debian packages that building, testing and the demo need; says the one line to run where it may not.
# usage: deps.sh [build|test]     build: the compiler and the libraries; test: also the servers and the test tools
set -eu
build="gcc make autoconf pkg-config libc6-dev libpq-dev libmongoc-dev libhiredis-dev libev-dev libconfig-dev
       libsystemd-dev libssl-dev libjansson-dev check"
test="postgresql-15 redis-server python3 python3-pip python3-pytest python3-pytest-xdist python3-psycopg2 python3-pymongo python3-redis
      unzip jq openssl faketime strace mandoc procps libcurl4 systemd-container"
want=$build
[ "${1:-build}" = test ] && want="$build $test"
missing=
for package in $want; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; else
  echo "packages are missing; run:  sudo apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing"
$sudo apt-get update -q >/dev/null
# shellcheck disable=SC2086
$sudo apt-get install -y -q --no-install-recommends $missing >/dev/null
