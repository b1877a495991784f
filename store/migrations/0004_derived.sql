-- Kept by the keeper from the reading log; both editions of TimescaleDB.

-- Newest reading of each point and metric.
CREATE TABLE point_latest (
    point_id    integer          NOT NULL,
    metric_id   smallint         NOT NULL,
    time        timestamptz      NOT NULL,
    value       double precision NOT NULL,
    quality     smallint         NOT NULL,
    received_at timestamptz      NOT NULL,
    PRIMARY KEY (point_id, metric_id)
);

-- What a counter counted in each hour (UTC), right across resets, rollovers and swapped meters.
-- quality: 0 all from good readings inside the hour, 1 spread over a gap.
CREATE TABLE consumption_hourly (
    bucket    timestamptz      NOT NULL,
    point_id  integer          NOT NULL,
    metric_id smallint         NOT NULL,
    amount    double precision NOT NULL,
    quality   smallint         NOT NULL DEFAULT 0,
    PRIMARY KEY (point_id, metric_id, bucket)
);
CREATE INDEX consumption_hourly_bucket ON consumption_hourly (bucket);

-- Each time that a bin was emptied.
CREATE TABLE collection (
    point_id        integer          NOT NULL REFERENCES point,
    time            timestamptz      NOT NULL,
    fill_before_pct double precision NOT NULL,
    fill_after_pct  double precision NOT NULL,
    PRIMARY KEY (point_id, time)
);

-- When a bin will be full; full_at is NULL where nothing can be said.
CREATE TABLE bin_forecast (
    point_id              integer PRIMARY KEY REFERENCES point,
    computed_at           timestamptz NOT NULL,
    fill_rate_pct_per_h   double precision,
    full_at               timestamptz,
    full_at_early         timestamptz,
    full_at_late          timestamptz
);

-- Days are the city's own days.
CREATE VIEW consumption_daily AS
SELECT (h.bucket AT TIME ZONE c.time_zone)::date AS day, h.point_id, h.metric_id,
       sum(h.amount) AS amount, max(h.quality) AS quality
FROM consumption_hourly AS h CROSS JOIN city AS c
GROUP BY 1, 2, 3;
