#!/bin/sh
# Runs once, when the primary's database is made: the standby's role, and who may follow.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v password="$POSTGRES_STANDBY_PASSWORD" <<'SQL'
CREATE ROLE misto_standby LOGIN REPLICATION PASSWORD :'password';
SQL
echo "host replication misto_standby all scram-sha-256" >> "$PGDATA/pg_hba.conf"
# In force from the next start on, when the database is made: every commit waits for the standby, also while it is away.
echo "synchronous_standby_names = 'FIRST 1 (standby)'" >> "$PGDATA/postgresql.conf"
