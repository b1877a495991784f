#!/bin/sh
# Makes the password file from the environment at every start, so that no password is in an image or a repository.
set -eu
passwords=/mosquitto/data/passwords
umask 077
: > "$passwords"
mosquitto_passwd -b "$passwords" ingest "$MQTT_INGEST_PASSWORD"
mosquitto_passwd -b "$passwords" sensors "$MQTT_SENSORS_PASSWORD"
mosquitto_passwd -b "$passwords" simulators "$MQTT_SIMULATORS_PASSWORD"
# The broker gives up root for this user, who must be able to read its files.
cp /misto/acl /mosquitto/data/acl
chown -R mosquitto: /mosquitto/data
exec mosquitto -c /misto/mosquitto.conf
