#!/bin/sh
# Runs before everything else in docker-compose.yml, at each start: makes what is missing, keeps what is there.
# Secrets, the town's three simulated stations, the broker's files; and who may read what.
set -eu
umask 077

secret() {
    [ -s "/secrets/$1" ] || python -c 'import secrets; print(secrets.token_urlsafe(24))' >"/secrets/$1"
}
secret cloud-mqtt
secret influx-admin
secret influx-token
secret grafana-admin

add() { # id, name in Japanese, kana, romaji, then what else is known of the place
    id=$1 name=$2 kana=$3 romaji=$4
    shift 4
    rm -f "/passwords/$id"
    hinomi station add "town/$id" --config /etc/hinomi/cloud.toml --password-to "/passwords/$id" \
        --purpose research --name "$name" --kana "$kana" --romaji "$romaji" "$@"
}
station() {
    [ -s "/passwords/$1" ] || add "$@" || {
        # It is registered and its password is lost: a volume was removed, or this was ended half way.
        hinomi station remove "town/$1" --config /etc/hinomi/cloud.toml
        add "$@"
    }
}
station bridge 新橋 しんばし Shinbashi --mark water_level=0.8,1.2,1.5,1.8 --lowest-bank 2.4
station school ひのみ小学校 ひのみしょうがっこう "Hinomi Elementary School"
station park 中央公園 ちゅうおうこうえん "Central Park"

# Users inside the containers: hinomi 1884, mosquitto 1883, influxdb 1000, grafana 472. Volumes begin as root's.
chown -R 1884:1884 /var/lib/hinomi /passwords
chown 1883:1883 /var/lib/mosquitto
# `hinomi station add` in the cloud's container replaces these two; the folder's group goes on to the new files, so
# that the broker can read them.
chown -R 1884:1883 /etc/mosquitto/hinomi
chmod 2750 /etc/mosquitto/hinomi
chmod 640 /etc/mosquitto/hinomi/passwords /etc/mosquitto/hinomi/acl
# Each secret for whom it is; only the token of InfluxDB has two readers: itself and the cloud.
chmod 755 /secrets
chown 1884:1884 /secrets/cloud-mqtt
chown 1000:1000 /secrets/influx-admin
chown 1884:1000 /secrets/influx-token
chmod 440 /secrets/influx-token
chown 472 /secrets/grafana-admin
