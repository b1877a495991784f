-- name: devices
SELECT d.device_id, d.address, d.profile, d.state, a.point_id, a.channel,
       extract(epoch FROM a.valid_from)::float8 AS valid_from_s,
       extract(epoch FROM a.valid_to)::float8 AS valid_to_s,
       p.bin_empty_mm, p.bin_full_mm
FROM device AS d
LEFT JOIN assignment AS a USING (device_id)
LEFT JOIN point AS p USING (point_id)
ORDER BY d.device_id, a.valid_from DESC;

-- name: register_unclaimed
WITH new_device AS (
    INSERT INTO device (address, profile, state, first_seen_at, guess)
    VALUES (%(address)s, %(profile)s, 'unclaimed', now(), %(guess)s)
    ON CONFLICT (address) DO NOTHING
    RETURNING device_id
), new_point AS (
    INSERT INTO point (code, kind, interval_s)
    SELECT 'unclaimed:' || %(address)s, %(kind)s, 3600 FROM new_device
    RETURNING point_id
), new_assignment AS (
    INSERT INTO assignment (device_id, point_id)
    SELECT device_id, point_id FROM new_device CROSS JOIN new_point
    RETURNING device_id, point_id
)
SELECT device_id, point_id FROM new_assignment
UNION ALL
SELECT d.device_id, a.point_id FROM device AS d JOIN assignment AS a USING (device_id)
WHERE d.address = %(address)s
LIMIT 1;

-- name: lock
SELECT pg_advisory_xact_lock(hashtext('misto inventory'));

-- name: notify
SELECT pg_notify(%(channel)s, '');

-- name: upsert_city
INSERT INTO city (name_en, name_uk, time_zone, currency, latitude, longitude)
VALUES (%(name_en)s, %(name_uk)s, %(time_zone)s, %(currency)s, %(latitude)s, %(longitude)s)
ON CONFLICT (only_row) DO UPDATE
SET name_en = excluded.name_en, name_uk = excluded.name_uk, time_zone = excluded.time_zone,
    currency = excluded.currency, latitude = excluded.latitude, longitude = excluded.longitude;

-- name: upsert_zone
INSERT INTO zone (id, name_en, name_uk) VALUES (%(id)s, %(name_en)s, %(name_uk)s)
ON CONFLICT (id) DO UPDATE SET name_en = excluded.name_en, name_uk = excluded.name_uk;

-- name: upsert_contractor
INSERT INTO contractor (id, name_en, name_uk, phone, email)
VALUES (%(id)s, %(name_en)s, %(name_uk)s, %(phone)s, %(email)s)
ON CONFLICT (id) DO UPDATE
SET name_en = excluded.name_en, name_uk = excluded.name_uk, phone = excluded.phone, email = excluded.email;

-- name: clear_tariffs
DELETE FROM tariff;

-- name: insert_tariff
INSERT INTO tariff (kind, valid_from, price) VALUES (%(kind)s, %(valid_from)s, %(price)s);

-- name: upsert_site
INSERT INTO site (id, kind, name_en, name_uk, use, address_en, address_uk, zone_id, latitude, longitude,
                  floor_area_m2, labels)
VALUES (%(id)s, %(kind)s, %(name_en)s, %(name_uk)s, %(use)s, %(address_en)s, %(address_uk)s, %(zone_id)s,
        %(latitude)s, %(longitude)s, %(floor_area_m2)s, %(labels)s)
ON CONFLICT (id) DO UPDATE
SET kind = excluded.kind, name_en = excluded.name_en, name_uk = excluded.name_uk, use = excluded.use,
    address_en = excluded.address_en, address_uk = excluded.address_uk, zone_id = excluded.zone_id,
    latitude = excluded.latitude, longitude = excluded.longitude, floor_area_m2 = excluded.floor_area_m2,
    labels = excluded.labels, retired = false;

-- name: upsert_point
INSERT INTO point (code, site_id, kind, name_en, name_uk, interval_s, fraction, contractor_id,
                   bin_empty_mm, bin_full_mm, bin_volume_l, register_digits, labels)
VALUES (%(code)s, %(site_id)s, %(kind)s, %(name_en)s, %(name_uk)s, %(interval_s)s, %(fraction)s, %(contractor_id)s,
        %(bin_empty_mm)s, %(bin_full_mm)s, %(bin_volume_l)s, %(register_digits)s, %(labels)s)
ON CONFLICT (code) DO UPDATE
SET site_id = excluded.site_id, kind = excluded.kind, name_en = excluded.name_en, name_uk = excluded.name_uk,
    interval_s = excluded.interval_s, fraction = excluded.fraction, contractor_id = excluded.contractor_id,
    bin_empty_mm = excluded.bin_empty_mm, bin_full_mm = excluded.bin_full_mm, bin_volume_l = excluded.bin_volume_l,
    register_digits = excluded.register_digits, labels = excluded.labels, retired = false
RETURNING point_id;

-- name: upsert_device
INSERT INTO device (address, profile, state) VALUES (%(address)s, %(profile)s, 'claimed')
ON CONFLICT (address) DO UPDATE
SET profile = coalesce(excluded.profile, device.profile), state = 'claimed'
RETURNING device_id;

-- name: drop_placeholder
DELETE FROM assignment AS a USING point AS p
WHERE a.device_id = %(device_id)s AND p.point_id = a.point_id AND p.site_id IS NULL
RETURNING a.point_id;

-- name: move_readings
-- What moves is new at its point: the readers of the log derive from it there.
WITH moved AS (
    DELETE FROM readings WHERE point_id = %(old)s RETURNING time, metric_id, value, quality
), new AS (
    INSERT INTO readings (time, point_id, metric_id, value, quality)
    SELECT time, %(new)s, metric_id, value, quality FROM moved
    ON CONFLICT DO NOTHING
    RETURNING (date_part('epoch', time) * 1e6)::bigint AS time_us, point_id, metric_id, value, quality
)
INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities)
SELECT now(), count(*), array_agg(time_us), array_agg(point_id), array_agg(metric_id), array_agg(value),
       array_agg(quality)
FROM (SELECT * FROM new ORDER BY time_us) AS ordered
HAVING count(*) > 0;

-- name: delete_placeholder
WITH gone AS (
    DELETE FROM point_latest WHERE point_id = %(old)s
), consumed AS (
    DELETE FROM consumption_hourly WHERE point_id = %(old)s
)
UPDATE point SET retired = true WHERE point_id = %(old)s;

-- name: upsert_assignment
INSERT INTO assignment (device_id, point_id, channel, valid_from, valid_to, register_start, register_end)
VALUES (%(device_id)s, %(point_id)s, %(channel)s, coalesce(%(valid_from)s::timestamptz, '-infinity'),
        coalesce(%(valid_to)s::timestamptz, 'infinity'), %(register_start)s, %(register_end)s)
ON CONFLICT (device_id, channel, valid_from) DO UPDATE
SET point_id = excluded.point_id, valid_to = excluded.valid_to, register_start = excluded.register_start,
    register_end = excluded.register_end
RETURNING assignment_id;

-- name: close_assignments
-- What the inventory no longer lists has ended now; what had not begun yet never was.
WITH never AS (
    DELETE FROM assignment AS a USING point AS p
    WHERE p.point_id = a.point_id AND p.site_id IS NOT NULL AND a.valid_from >= now()
      AND a.assignment_id <> ALL (%(listed)s)
)
UPDATE assignment AS a SET valid_to = now() FROM point AS p
WHERE p.point_id = a.point_id AND p.site_id IS NOT NULL AND a.valid_to > now() AND a.valid_from < now()
  AND a.assignment_id <> ALL (%(listed)s);

-- name: retire_points
UPDATE point SET retired = true
WHERE NOT retired AND site_id IS NOT NULL AND code <> ALL (%(codes)s);

-- name: retire_sites
UPDATE site SET retired = true WHERE NOT retired AND id <> ALL (%(ids)s);

-- name: retire_devices
UPDATE device AS d SET state = 'retired'
WHERE d.state = 'claimed' AND NOT EXISTS (
    SELECT FROM assignment AS a JOIN point AS p USING (point_id)
    WHERE a.device_id = d.device_id AND NOT p.retired AND a.valid_to > now()
);
