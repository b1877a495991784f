-- name: devices
SELECT d.device_id, d.address, d.profile, d.state, a.point_id, a.channel,
       extract(epoch FROM a.valid_from)::float8 AS valid_from_s,
       extract(epoch FROM a.valid_to)::float8 AS valid_to_s,
       p.bin_empty_mm, p.bin_full_mm, p.bin_blind_mm, p.bin_shape, p.bin_floor_width_pct
FROM device AS d
LEFT JOIN assignment AS a USING (device_id)
LEFT JOIN point AS p USING (point_id)
ORDER BY d.device_id, a.valid_from DESC;

-- name: devices_since
-- Devices with a row of theirs from a transaction that had not ended at the snapshot `since`.
SELECT d.device_id, d.address, d.profile, d.state, a.point_id, a.channel,
       extract(epoch FROM a.valid_from)::float8 AS valid_from_s,
       extract(epoch FROM a.valid_to)::float8 AS valid_to_s,
       p.bin_empty_mm, p.bin_full_mm, p.bin_blind_mm, p.bin_shape, p.bin_floor_width_pct
FROM device AS d
LEFT JOIN assignment AS a USING (device_id)
LEFT JOIN point AS p USING (point_id)
WHERE d.device_id IN (
    SELECT device_id FROM device WHERE age(xmin) <= age(%(since)s::xid)
    UNION
    SELECT device_id FROM assignment WHERE age(xmin) <= age(%(since)s::xid)
    UNION
    SELECT device_id FROM assignment WHERE point_id IN (SELECT point_id FROM point WHERE age(xmin) <= age(%(since)s::xid))
)
ORDER BY d.device_id, a.valid_from DESC;

-- name: snapshot
SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text;

-- name: device
SELECT d.device_id, d.address, d.profile, d.state, a.point_id, a.channel,
       extract(epoch FROM a.valid_from)::float8 AS valid_from_s,
       extract(epoch FROM a.valid_to)::float8 AS valid_to_s,
       p.bin_empty_mm, p.bin_full_mm, p.bin_blind_mm, p.bin_shape, p.bin_floor_width_pct
FROM device AS d
LEFT JOIN assignment AS a USING (device_id)
LEFT JOIN point AS p USING (point_id)
WHERE d.address = %(address)s
ORDER BY a.valid_from DESC;

-- name: register_device
-- What its device told about itself goes for its channels too. A device may have told before it sent anything.
INSERT INTO device (address, profile, state, first_seen_at, guess)
VALUES (%(address)s, %(profile)s, 'unclaimed', now(),
        coalesce((SELECT guess - ARRAY['envelope', 'metrics', 'names'] FROM device
                  WHERE address = regexp_replace(%(address)s, '/[^/]*$', '')), '{}') || %(guess)s::jsonb)
ON CONFLICT (address) DO UPDATE
SET profile = coalesce(device.profile, excluded.profile), guess = device.guess || excluded.guess,
    first_seen_at = coalesce(device.first_seen_at, excluded.first_seen_at)
WHERE device.first_seen_at IS NULL AND device.state = 'unclaimed';

-- name: register_point
WITH its AS (
    SELECT device_id FROM device
    WHERE address = %(address)s AND state = 'unclaimed'
      AND NOT EXISTS (SELECT FROM assignment WHERE assignment.device_id = device.device_id)
    FOR UPDATE
), made AS (
    INSERT INTO point (code, kind, interval_s)
    SELECT 'unclaimed:' || %(address)s, %(kind)s, 3600 FROM its
    ON CONFLICT (code) DO NOTHING
    RETURNING point_id
), place AS (
    SELECT point_id FROM made
    UNION ALL
    SELECT point_id FROM point WHERE code = 'unclaimed:' || %(address)s
    LIMIT 1
)
INSERT INTO assignment (device_id, point_id)
SELECT device_id, point_id FROM its CROSS JOIN place
ON CONFLICT (device_id, channel, valid_from) DO NOTHING;

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
                   bin_empty_mm, bin_full_mm, bin_volume_l, bin_blind_mm, bin_shape, bin_floor_width_pct,
                   register_digits, labels)
VALUES (%(code)s, %(site_id)s, %(kind)s, %(name_en)s, %(name_uk)s, %(interval_s)s, %(fraction)s, %(contractor_id)s,
        %(bin_empty_mm)s, %(bin_full_mm)s, %(bin_volume_l)s, %(bin_blind_mm)s, %(bin_shape)s,
        %(bin_floor_width_pct)s, %(register_digits)s, %(labels)s)
ON CONFLICT (code) DO UPDATE
SET site_id = excluded.site_id, kind = excluded.kind, name_en = excluded.name_en, name_uk = excluded.name_uk,
    interval_s = excluded.interval_s, fraction = excluded.fraction, contractor_id = excluded.contractor_id,
    bin_empty_mm = excluded.bin_empty_mm, bin_full_mm = excluded.bin_full_mm, bin_volume_l = excluded.bin_volume_l,
    bin_blind_mm = excluded.bin_blind_mm, bin_shape = excluded.bin_shape,
    bin_floor_width_pct = excluded.bin_floor_width_pct,
    register_digits = excluded.register_digits, labels = excluded.labels, retired = false, by_hand = false;

-- name: upsert_device
INSERT INTO device (address, profile, state) VALUES (%(address)s, %(profile)s, 'retired')
ON CONFLICT (address) DO UPDATE SET profile = coalesce(excluded.profile, device.profile);

-- name: claim
UPDATE device SET state = 'claimed' WHERE address = ANY (%(addresses)s) AND state <> 'claimed';

-- name: move_placeholder
SELECT move_placeholder(%(address)s, %(channel)s, point_id, coalesce(%(valid_from)s::timestamptz, '-infinity'),
                        coalesce(%(valid_to)s::timestamptz, 'infinity'))
FROM point WHERE code = %(point)s;

-- name: insert_assignment
INSERT INTO assignment (device_id, point_id, channel, valid_from, valid_to, register_start, register_end, by_hand)
SELECT device_id, point_id, %(channel)s, coalesce(%(valid_from)s::timestamptz, '-infinity'),
       coalesce(%(valid_to)s::timestamptz, 'infinity'), %(register_start)s, %(register_end)s, %(by_hand)s
FROM point CROSS JOIN device WHERE code = %(point)s AND address = %(address)s;

-- name: update_assignment
UPDATE assignment
SET valid_from = coalesce(%(valid_from)s::timestamptz, '-infinity'),
    valid_to = coalesce(%(valid_to)s::timestamptz, 'infinity'),
    register_start = %(register_start)s, register_end = %(register_end)s, by_hand = %(by_hand)s
WHERE assignment_id = %(row_id)s;

-- name: end_assignment
UPDATE assignment SET valid_to = %(valid_to)s WHERE assignment_id = %(row_id)s;

-- name: drop_assignment
-- The device is touched, so that whoever mirrors the registry sees it.
WITH gone AS (DELETE FROM assignment WHERE assignment_id = %(row_id)s RETURNING device_id)
UPDATE device SET state = state FROM gone WHERE device.device_id = gone.device_id;

-- name: log_change
SELECT log_change(point_id, coalesce(%(since)s::timestamptz, '-infinity')) FROM point WHERE code = %(point)s;

-- name: takeover
-- The first of the device's readings after the last that came from the point; now, where there is none.
SELECT coalesce((
    SELECT min(r.time) FROM point AS p JOIN readings AS r USING (point_id)
    WHERE p.site_id IS NULL
      AND p.code IN ('unclaimed:' || %(address)s, 'unclaimed:' || %(address)s || '/' || %(channel)s)
      AND r.time <= now()
      AND r.time > coalesce((SELECT max(q.time) FROM point AS old JOIN readings AS q USING (point_id)
                             WHERE old.code = %(point)s), '-infinity')
), now());

-- name: retire_points
UPDATE point SET retired = true, by_hand = false
WHERE NOT retired AND site_id IS NOT NULL AND code <> ALL (%(codes)s);

-- name: retire_sites
UPDATE site SET retired = true WHERE NOT retired AND id <> ALL (%(ids)s);

-- name: retire_devices
UPDATE device AS d SET state = 'retired'
WHERE d.state = 'claimed' AND NOT EXISTS (
    SELECT FROM assignment AS a JOIN point AS p USING (point_id)
    WHERE a.device_id = d.device_id AND NOT p.retired AND a.valid_to > now()
);

-- name: read_city
SELECT name_en, name_uk, time_zone, currency, latitude, longitude FROM city;

-- name: read_zones
SELECT id, name_en, name_uk FROM zone ORDER BY id;

-- name: read_contractors
SELECT id, name_en, name_uk, phone, email FROM contractor ORDER BY id;

-- name: read_tariffs
SELECT kind, valid_from, price FROM tariff ORDER BY kind, valid_from;

-- name: read_sites
SELECT id, kind, name_en, name_uk, use, address_en, address_uk, zone_id, latitude, longitude, floor_area_m2, labels,
       retired
FROM site ORDER BY id;

-- name: read_points
SELECT code, site_id, kind, name_en, name_uk, interval_s, fraction, contractor_id, bin_empty_mm, bin_full_mm,
       bin_volume_l, bin_blind_mm, bin_shape, bin_floor_width_pct, register_digits, labels, retired, by_hand
FROM point WHERE site_id IS NOT NULL ORDER BY code;

-- name: read_profiles
SELECT address, profile FROM device;

-- name: read_assigned
SELECT d.address, a.channel, p.code AS point, nullif(a.valid_from, '-infinity') AS valid_from,
       nullif(a.valid_to, 'infinity') AS valid_to, a.register_start, a.register_end, a.by_hand,
       a.assignment_id AS row_id
FROM assignment AS a JOIN device AS d USING (device_id) JOIN point AS p USING (point_id)
WHERE p.site_id IS NOT NULL
ORDER BY p.code, a.valid_from, d.address, a.channel;

-- name: now
SELECT now();
