#!/bin/bash
# A token that reads the town's bucket and nothing else, for Grafana (user 472); made once.
set -euo pipefail
umask 077
token=/secrets/grafana-token
[ -s "$token" ] && exit 0
INFLUX_TOKEN=$(cat /secrets/influx-token)
export INFLUX_TOKEN
bucket=$(influx bucket list --org hinomi --name hinomi_town --hide-headers | cut -f1)
influx auth create --org hinomi --read-bucket "$bucket" --description grafana --hide-headers | cut -f3 >"$token.new"
grep -q . "$token.new"
chown 472 "$token.new"
mv "$token.new" "$token"
