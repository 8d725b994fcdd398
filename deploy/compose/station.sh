#!/bin/bash
# One simulated station of docker-compose.yml: its hardware, and the agent that measures with it. `station.sh NAME`.
#
# This is process 1 of its container: it gets the signals, hands SIGTERM on, and takes away what has ended. When one
# of the two ends by itself the other is ended too, and the container's restart policy begins anew.
set -euo pipefail

sim='' agent=''
# The agent first: it still commits what it has, and is not told that its devices are gone.
finish() {
    trap '' TERM INT
    for child in $agent $sim; do
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" || true
    done
    exit "$1"
}
# Before anything else: a process 1 without a handler does not even get the signal.
trap 'finish 0' TERM INT

name=$1
files=/etc/hinomi
cd /var/lib/hinomi

# What was recorded begins at the station's first start, and goes on where it would be when the station is restarted.
[ -s begun ] || date +%s000 >begun
sed "s/^anchor_ms = 0$/anchor_ms = $(cat begun)/" "$files/$name.devices.toml" >devices.toml
cp "$files/$name.edge.toml" edge.toml

# A FIFO and not a pipe, so that the simulator is a child of this shell; it says "ready" when all devices are there.
rm -f ready
mkfifo ready
hinomi sim buses devices.toml --root hw >ready &
sim=$!
if ! read -r _ <ready; then
    wait "$sim" || finish $?
    finish 1
fi
hinomi edge run --config edge.toml &
agent=$!
status=0
wait -n "$sim" "$agent" || status=$?
finish "$status"
