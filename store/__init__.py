"""TimescaleDB: migrations, named SQL, writing readings, the reading log, alerts, queries."""
