#!/bin/sh
# Installs the real servers that tests talk to, where this user may; says so where not. The tests start their own
# instances on free ports; nothing that Debian starts by itself is used.
set -eu
missing=""
command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v influxd >/dev/null 2>&1 || missing="$missing influxdb"
command -v victoria-metrics >/dev/null 2>&1 || missing="$missing victoria-metrics"
[ -n "$missing" ] || exit 0
sudo=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo="no"; fi
fi
if [ "$sudo" = no ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed here:$missing. Tests that need them are skipped by name; to run them: apt-get install$missing"
    exit 0
fi
echo "Installing for the tests:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
