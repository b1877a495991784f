#!/bin/sh
# Copies the primary the first time, then follows it; a standby that was promoted goes on as the primary.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # What a copy that broke off has left behind.
    find "$PGDATA" -mindepth 1 -delete
    PGPASSWORD="$POSTGRES_STANDBY_PASSWORD" pg_basebackup -R -X stream -c fast -D "$PGDATA" \
        -d "host=database-1 user=misto_standby application_name=standby"
    chmod 700 "$PGDATA"
fi
# Once promoted it waits for nobody: there is no third.
exec postgres -c shared_preload_libraries=timescaledb -c timezone=UTC -c hot_standby=on -c synchronous_standby_names=
