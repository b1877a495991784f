-- quality: 0 good, 1 estimated, 2 suspect (catalogue.metrics.Quality)
CREATE TABLE readings (
    time      timestamptz      NOT NULL,
    point_id  integer          NOT NULL,
    metric_id smallint         NOT NULL,
    value     double precision NOT NULL,
    quality   smallint         NOT NULL DEFAULT 0,
    PRIMARY KEY (point_id, metric_id, time)
);
SELECT create_hypertable('readings', 'time', chunk_time_interval => INTERVAL '7 days',
                         create_default_indexes => false);

-- What was new in each batch, in commit order: a transactional outbox.
-- Readers go by (xid, seq) and take only rows with xid < pg_snapshot_xmin(pg_current_snapshot()):
-- every such transaction has ended, so a slow commit is never skipped.
CREATE TABLE reading_log (
    xid           xid8               NOT NULL DEFAULT pg_current_xact_id(),
    seq           bigint             NOT NULL GENERATED ALWAYS AS IDENTITY,
    received_at   timestamptz        NOT NULL,
    reading_count integer            NOT NULL,
    times_us      bigint[]           NOT NULL,  -- microseconds since 1970, UTC
    point_ids     integer[]          NOT NULL,
    metric_ids    smallint[]         NOT NULL,
    "values"      double precision[] NOT NULL,
    qualities     smallint[]         NOT NULL,
    PRIMARY KEY (xid, seq)
);
ALTER TABLE reading_log ALTER COLUMN times_us SET COMPRESSION lz4;
ALTER TABLE reading_log ALTER COLUMN "values" SET COMPRESSION lz4;

CREATE TABLE log_cursor (
    reader     text PRIMARY KEY,
    xid        xid8 NOT NULL,
    seq        bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- reason: a closed list, ingest.reasons.Reason
CREATE TABLE quarantine (
    quarantine_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at    timestamptz NOT NULL,
    topic          text        NOT NULL,
    payload        bytea       NOT NULL,
    reason         text        NOT NULL,
    detail         text        NOT NULL,
    device_address text,
    digest         bytea       NOT NULL
);
CREATE INDEX quarantine_time ON quarantine (received_at);
-- A redelivered message is quarantined once; the same bad message sent again later is a new entry.
CREATE UNIQUE INDEX quarantine_once ON quarantine (digest, received_at);

-- When a message without a time of its own was first received. The broker delivers a message again with the same
-- packet id and the DUP flag; it then keeps its first time of reception, so the key of its readings is the same.
CREATE TABLE delivery (
    client_id   text        NOT NULL,
    packet_id   integer     NOT NULL,
    digest      bytea       NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, packet_id)
);

CREATE TABLE service_heartbeat (
    service    text NOT NULL,
    worker     text NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at    timestamptz NOT NULL,
    info       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (service, worker)
);

-- Times at which no ingest worker was able to receive: silence then accuses no device.
CREATE TABLE ingest_outage (
    down_at timestamptz PRIMARY KEY,
    up_at   timestamptz NOT NULL CHECK (up_at >= down_at)
);
