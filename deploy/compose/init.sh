#!/bin/sh
# Makes what is missing, keeps what is there: secrets, the town's three simulated stations, the broker's files.
set -eu
umask 027
secrets=${SECRETS:-/secrets}
config=${CONFIG:-/etc/hinomi/cloud.toml}
mkdir -p "$secrets/stations"

secret() {
    [ -s "$secrets/$1" ] || python -c 'import secrets; print(secrets.token_urlsafe(24))' >"$secrets/$1"
}
secret cloud-mqtt
secret influx-admin
secret influx-token
secret grafana-admin

station() { # name in Japanese, kana, romaji follow the id
    [ -s "$secrets/stations/$1" ] ||
        hinomi station add "town/$1" --config "$config" --password-to "$secrets/stations/$1" \
            --name "$2" --kana "$3" --romaji "$4"
}
station bridge 新橋 しんばし Shinbashi
station school ひのみ小学校 ひのみしょうがっこう "Hinomi Elementary School"
station park 中央公園 ちゅうおうこうえん "Central Park"

# Inside the containers: mosquitto is 1883, grafana 472, hinomi 1884; each reads only what is mounted for it.
if [ "$(id -u)" = 0 ] && [ -z "${SECRETS:-}" ]; then
    chown -R 1884:1884 /var/lib/hinomi /etc/mosquitto/hinomi
    chown 1883:1883 /etc/mosquitto/hinomi/passwords /etc/mosquitto/hinomi/acl
    chmod -R a+rX "$secrets"
fi
