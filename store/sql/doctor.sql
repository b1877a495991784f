-- name: now
SELECT clock_timestamp();

-- name: city
SELECT c.name_en, c.time_zone,
       (SELECT count(*) FROM site WHERE NOT retired), (SELECT count(*) FROM point_place),
       (SELECT count(*) FROM point_place AS p WHERE NOT EXISTS (
            SELECT FROM assignment AS a WHERE a.point_id = p.point_id AND now() >= a.valid_from AND now() < a.valid_to)),
       (SELECT count(*) FROM device AS d JOIN device_status USING (device_id) WHERE d.state = 'unclaimed')
FROM city AS c;

-- name: heartbeats
SELECT service, extract(epoch FROM now() - max(beat_at))::float8 FROM service_heartbeat GROUP BY service;

-- name: flow
SELECT (SELECT extract(epoch FROM now() - max(last_received_at))::float8 FROM device_status),
       (SELECT count(*) FROM quarantine WHERE received_at > now() - INTERVAL '24 hours');
