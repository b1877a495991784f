-- The Apache edition has no continuous aggregates: plain views of the same names and columns. Days are days of UTC.
-- A limit on bucket reaches the chunks: TimescaleDB turns a comparison of time_bucket into one of time.
CREATE VIEW readings_hourly AS
SELECT time_bucket(INTERVAL '1 hour', time) AS bucket, point_id, metric_id, count(*) AS reading_count,
       avg(value) AS value_avg, min(value) AS value_min, max(value) AS value_max,
       first(value, time) AS value_first, last(value, time) AS value_last
FROM readings WHERE quality < 2
GROUP BY 1, 2, 3;

CREATE VIEW readings_daily AS
SELECT time_bucket(INTERVAL '1 day', time) AS bucket, point_id, metric_id, count(*) AS reading_count,
       avg(value) AS value_avg, min(value) AS value_min, max(value) AS value_max,
       first(value, time) AS value_first, last(value, time) AS value_last
FROM readings WHERE quality < 2
GROUP BY 1, 2, 3;

GRANT SELECT ON readings_hourly, readings_daily TO misto_ingest, misto_rules, misto_board, misto_read;
