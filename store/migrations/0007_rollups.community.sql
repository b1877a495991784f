-- Continuous aggregates with what is not materialised yet added at query time. Days are days of UTC.
CREATE MATERIALIZED VIEW readings_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 hour', time) AS bucket, point_id, metric_id, count(*) AS reading_count,
       avg(value) AS value_avg, min(value) AS value_min, max(value) AS value_max,
       first(value, time) AS value_first, last(value, time) AS value_last
FROM readings WHERE quality < 2
GROUP BY 1, 2, 3
WITH NO DATA;

CREATE MATERIALIZED VIEW readings_daily
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 day', time) AS bucket, point_id, metric_id, count(*) AS reading_count,
       avg(value) AS value_avg, min(value) AS value_min, max(value) AS value_max,
       first(value, time) AS value_first, last(value, time) AS value_last
FROM readings WHERE quality < 2
GROUP BY 1, 2, 3
WITH NO DATA;

-- Late data within a month is taken up by the policies; later data shows as it is not materialised anew.
SELECT add_continuous_aggregate_policy('readings_hourly', start_offset => INTERVAL '31 days',
                                       end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '15 minutes');
SELECT add_continuous_aggregate_policy('readings_daily', start_offset => INTERVAL '31 days',
                                       end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '1 hour');

-- Columnstore: chunks a month old are compressed by series.
ALTER TABLE readings SET (timescaledb.compress, timescaledb.compress_segmentby = 'point_id, metric_id',
                          timescaledb.compress_orderby = 'time DESC');
SELECT add_compression_policy('readings', compress_after => INTERVAL '31 days');

GRANT SELECT ON readings_hourly, readings_daily TO misto_ingest, misto_rules, misto_board, misto_read;
