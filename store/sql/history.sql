-- name: last_stored
SELECT max(l.time) FROM point_latest AS l JOIN point AS p USING (point_id) WHERE p.site_id IS NOT NULL;

-- name: point_ids
SELECT code, point_id FROM point WHERE site_id IS NOT NULL;
