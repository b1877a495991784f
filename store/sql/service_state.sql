-- name: beat
INSERT INTO service_heartbeat (service, worker, started_at, beat_at, info)
VALUES (%(service)s, %(worker)s, %(started_at)s, now(), %(info)s)
ON CONFLICT (service, worker) DO UPDATE
SET started_at = excluded.started_at, beat_at = now(), info = excluded.info;

-- name: last_beat
SELECT max(beat_at) FROM service_heartbeat WHERE service = %(service)s;

-- name: record_outage
INSERT INTO ingest_outage (down_at, up_at) VALUES (%(down_at)s, %(up_at)s) ON CONFLICT DO NOTHING;

-- name: device_status
INSERT INTO device_status (device_id, last_received_at, last_event_at, message_count, envelope, unknown_fields)
VALUES (%(device_id)s, %(received_at)s, %(event_at)s, %(messages)s, %(envelope)s, %(unknown_fields)s)
ON CONFLICT (device_id) DO UPDATE
SET last_received_at = greatest(device_status.last_received_at, excluded.last_received_at),
    last_event_at = greatest(device_status.last_event_at, excluded.last_event_at),
    message_count = device_status.message_count + excluded.message_count,
    envelope = excluded.envelope,
    unknown_fields = CASE WHEN excluded.unknown_fields = '{}' THEN device_status.unknown_fields
                          ELSE excluded.unknown_fields END;
