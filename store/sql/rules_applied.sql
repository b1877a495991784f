-- name: newest
SELECT coalesce(max(version), 0) FROM rules_applied;

-- name: versions
SELECT version, applied_at, author, note, files FROM rules_applied ORDER BY version DESC;

-- name: record
INSERT INTO rules_applied (version, author, note, files)
SELECT coalesce(max(version), 0) + 1, %(author)s, %(note)s, %(files)s FROM rules_applied
RETURNING version;

-- name: describe_set
UPDATE rule_set SET version = %(version)s, rules = %(rules)s WHERE rules_hash = %(rules_hash)s;

-- name: sets
SELECT s.since, a.version, a.author, s.rules
FROM rule_set AS s JOIN rules_applied AS a USING (version) ORDER BY s.since;
