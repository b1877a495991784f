-- name: suggest
-- What is known already is not written again.
INSERT INTO device (address, state, guess)
SELECT address, 'unclaimed', facts::jsonb
FROM unnest(%(addresses)s::text[], %(facts)s::text[]) AS told (address, facts)
ORDER BY address
ON CONFLICT (address) DO UPDATE SET guess = device.guess || excluded.guess
WHERE NOT device.guess @> excluded.guess AND length((device.guess || excluded.guess)::text) < 20000;

-- name: suggest_channels
-- A channel without a point is a device of its own, address/channel: what its device tells goes for it too.
UPDATE device AS d SET guess = d.guess || t.facts::jsonb
FROM unnest(%(addresses)s::text[], %(facts)s::text[]) AS t (address, facts)
WHERE d.state = 'unclaimed' AND strpos(d.address, '/') > 0 AND regexp_replace(d.address, '/[^/]*$', '') = t.address
  AND NOT d.guess @> t.facts::jsonb AND length((d.guess || t.facts::jsonb)::text) < 20000;

-- name: settle_placed
SELECT settle_placed_devices();

-- name: devices
-- A device that has only told about itself is left out where its channels stand for it.
SELECT d.device_id, d.address, d.state, d.profile, d.first_seen_at, d.guess,
       s.last_received_at, coalesce(s.message_count, 0) AS message_count, s.envelope, s.unknown_fields,
       own.point_id, own.kind AS placeholder_kind, coalesce(places.places, '[]') AS places
FROM device AS d
LEFT JOIN device_status AS s USING (device_id)
LEFT JOIN LATERAL (
    SELECT p.point_id, p.kind FROM assignment AS a JOIN point AS p USING (point_id)
    WHERE a.device_id = d.device_id AND p.site_id IS NULL AND a.valid_to > now() ORDER BY a.channel LIMIT 1
) AS own ON true
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_object('point', p.code, 'site', p.site_id, 'kind', p.kind, 'channel', a.channel)
                    ORDER BY a.channel, p.code) AS places
    FROM assignment AS a JOIN point AS p USING (point_id)
    WHERE a.device_id = d.device_id AND p.site_id IS NOT NULL AND now() >= a.valid_from AND now() < a.valid_to
) AS places ON true
WHERE d.state = ANY (%(states)s) AND (%(address)s::text IS NULL OR d.address = %(address)s)
  AND (%(device_id)s::integer IS NULL OR d.device_id = %(device_id)s)
  AND NOT (%(address)s::text IS NULL AND %(device_id)s::integer IS NULL
           AND d.state = 'unclaimed' AND own.point_id IS NULL
           AND EXISTS (SELECT FROM device AS c
                       WHERE c.address <> d.address AND regexp_replace(c.address, '/[^/]*$', '') = d.address))
ORDER BY array_position(ARRAY['unclaimed', 'claimed', 'retired'], d.state), s.last_received_at DESC NULLS LAST, d.address;

-- name: history
SELECT p.code AS point, p.site_id AS site, a.channel, nullif(a.valid_from, '-infinity') AS valid_from,
       nullif(a.valid_to, 'infinity') AS valid_to, a.register_start, a.register_end, a.by_hand
FROM assignment AS a JOIN point AS p USING (point_id)
WHERE a.device_id = %(device_id)s ORDER BY a.valid_from, a.channel;

-- name: latest
SELECT m.name, m.unit, l.value, l.time, l.quality
FROM assignment AS a JOIN point_latest AS l USING (point_id) JOIN metric AS m USING (metric_id)
WHERE a.device_id = %(device_id)s AND now() >= a.valid_from AND now() < a.valid_to
ORDER BY l.metric_id;

-- name: place_device
SELECT place_device(%(address)s, %(channel)s, %(point)s, %(since)s, %(profile)s, %(register_start)s);

-- name: claim_unclaimed
SELECT claim_unclaimed(%(device_id)s, %(point)s);

-- name: add_point
SELECT add_point(%(site)s, %(code)s, %(kind)s, %(fraction)s, %(interval_s)s);

-- name: describe_point
UPDATE point
SET contractor_id = %(contractor)s, bin_empty_mm = %(empty_mm)s, bin_full_mm = %(full_mm)s, bin_volume_l = %(volume_l)s,
    register_digits = %(register_digits)s
WHERE code = %(code)s;

-- name: contractor_exists
SELECT EXISTS (SELECT FROM contractor WHERE id = %(contractor)s);

-- name: codes_like
SELECT code FROM point WHERE starts_with(code, %(start)s);

-- name: at_point
SELECT a.assignment_id AS row_id, a.device_id, d.address, a.channel, nullif(a.valid_from, '-infinity') AS valid_from
FROM assignment AS a JOIN device AS d USING (device_id) JOIN point AS p USING (point_id)
WHERE p.code = %(point)s AND p.site_id IS NOT NULL AND NOT p.retired AND a.valid_to > now()
ORDER BY a.valid_from LIMIT 1;

-- name: point_exists
SELECT EXISTS (SELECT FROM point_place WHERE code = %(point)s);

-- name: end_by_hand
UPDATE assignment
SET valid_to = %(at)s, register_end = coalesce(%(register_end)s::float8, register_end), by_hand = true
WHERE assignment_id = %(row_id)s;

-- name: drop_by_hand
WITH gone AS (DELETE FROM assignment WHERE assignment_id = %(row_id)s RETURNING device_id)
UPDATE device SET state = state FROM gone WHERE device.device_id = gone.device_id;

-- name: held_by
SELECT a.assignment_id AS row_id, p.code AS point, p.kind, a.channel, a.valid_from > now() AS later
FROM assignment AS a JOIN point AS p USING (point_id)
WHERE a.device_id = %(device_id)s AND p.site_id IS NOT NULL AND a.valid_to > now()
  AND (%(channel)s::text IS NULL OR a.channel = %(channel)s)
ORDER BY a.channel;

-- name: back_to_placeholder
WITH place AS (
    INSERT INTO point (code, kind, interval_s)
    SELECT 'unclaimed:' || address || CASE %(channel)s WHEN '' THEN '' ELSE '/' || %(channel)s END, %(kind)s, 3600
    FROM device WHERE device_id = %(device_id)s
    ON CONFLICT (code) DO UPDATE SET retired = false, kind = excluded.kind
    RETURNING point_id
)
INSERT INTO assignment (device_id, point_id, channel, valid_from)
SELECT %(device_id)s, point_id, %(channel)s, now() FROM place;

-- name: unclaim
UPDATE device AS d SET state = 'unclaimed', placed_at = NULL
WHERE d.device_id = %(device_id)s AND NOT EXISTS (
    SELECT FROM assignment AS a JOIN point AS p USING (point_id)
    WHERE a.device_id = d.device_id AND p.site_id IS NOT NULL AND a.valid_to > now()
);

-- name: sites
SELECT id, kind, name_en, name_uk, zone_id FROM site WHERE NOT retired ORDER BY name_en, id;

-- name: free_points
SELECT p.code, p.kind, p.fraction, p.name_en, p.name_uk, p.site_id, p.site_name_en, p.site_name_uk
FROM point_place AS p
WHERE NOT EXISTS (SELECT FROM assignment AS a WHERE a.point_id = p.point_id AND a.valid_to > now())
ORDER BY p.kind = %(kind)s DESC, p.site_name_en, p.site_id, p.code
LIMIT %(limit)s;
