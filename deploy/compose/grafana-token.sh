#!/bin/bash
# A token that reads the town's bucket and nothing else; made once.
set -euo pipefail
[ -s /secrets/grafana-token ] && exit 0
INFLUX_TOKEN=$(cat /secrets/influx-token)
export INFLUX_TOKEN
bucket=$(influx bucket list --org hinomi --name hinomi_town --hide-headers | cut -f1)
influx auth create --org hinomi --read-bucket "$bucket" --description grafana --hide-headers | cut -f3 >/secrets/grafana-token
chmod 0644 /secrets/grafana-token
