#!/bin/sh
# Makes the list of users from the environment at every start, so that no password is in an image or a repository.
set -eu
umask 077
{
    echo "user_id,password,is_superuser"
    echo "ingest,$MQTT_INGEST_PASSWORD,false"
    echo "sensors,$MQTT_SENSORS_PASSWORD,false"
} > /tmp/users.csv
exec /usr/bin/docker-entrypoint.sh /opt/emqx/bin/emqx foreground
