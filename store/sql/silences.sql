-- name: list
SELECT * FROM silence_list
WHERE state <> 'over' OR over_at > now() - make_interval(days => %(over_days)s)
ORDER BY array_position(ARRAY['active', 'coming', 'over'], state), over_at DESC, silence_id DESC
LIMIT %(limit)s;

-- name: add
INSERT INTO silence (rules, points, sites, zones, kinds, contractors, severities, labels, begins_at, ends_at, author,
                     reason)
VALUES (%(rules)s, %(points)s, %(sites)s, %(zones)s, %(kinds)s, %(contractors)s, %(severities)s, %(labels)s,
        coalesce(%(begins_at)s, now()), %(ends_at)s, %(author)s, %(reason)s)
RETURNING silence_id;

-- name: end
INSERT INTO silence_end (silence_id, ended_by)
SELECT silence_id, %(ended_by)s FROM silence_list WHERE silence_id = %(silence_id)s AND state <> 'over'
ON CONFLICT DO NOTHING
RETURNING silence_id;

-- name: unknown
-- Names that nothing has: (part, name).
SELECT 'rule', name FROM unnest(%(rules)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM rule_version WHERE rule_id = name)
  AND NOT EXISTS (SELECT FROM alert_episode WHERE rule_id = name)
UNION ALL
SELECT 'point', name FROM unnest(%(points)s::text[]) AS name WHERE NOT EXISTS (SELECT FROM point WHERE code = name)
UNION ALL
SELECT 'site', name FROM unnest(%(sites)s::text[]) AS name WHERE NOT EXISTS (SELECT FROM site WHERE id = name)
UNION ALL
SELECT 'zone', name FROM unnest(%(zones)s::text[]) AS name WHERE NOT EXISTS (SELECT FROM zone WHERE id = name)
UNION ALL
SELECT 'contractor', name FROM unnest(%(contractors)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM contractor WHERE id = name);

-- name: rules
SELECT DISTINCT rule_id FROM rule_version ORDER BY rule_id;

-- name: count_active
SELECT count(*) AS active FROM silence_list WHERE state = 'active';
