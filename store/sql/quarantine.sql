-- name: chosen
-- What a selection means; put into other statements as {chosen}.
(%(ids)s::bigint[] IS NULL OR quarantine_id = ANY (%(ids)s))
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(source)s::text IS NULL OR device_address = %(address)s OR (device_address IS NULL AND topic = %(source)s))
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND quarantine_id <= %(until_id)s

-- name: newest_id
SELECT coalesce(max(quarantine_id), 0) AS newest_id FROM quarantine;

-- name: counts
SELECT reason, source, device_address IS NULL AS by_topic, count(*) AS messages, sum(bytes)::bigint AS bytes,
       min(received_at) AS oldest_at, max(received_at) AS newest_at
FROM quarantine_entry
WHERE {chosen}
GROUP BY reason, source, by_topic
ORDER BY messages DESC, reason, source
LIMIT %(limit)s;

-- name: total
SELECT count(*) AS messages, coalesce(sum(bytes), 0)::bigint AS bytes, min(received_at) AS oldest_at,
       count(DISTINCT (reason, source, device_address IS NULL)) AS sources
FROM quarantine_entry
WHERE {chosen};

-- name: samples
SELECT quarantine_id, received_at, topic, reason, detail, device_address, retained, payload_bytes
FROM quarantine_entry
WHERE {chosen}
ORDER BY received_at DESC, quarantine_id DESC
LIMIT %(limit)s;

-- name: entry
SELECT quarantine_id, received_at, topic, reason, detail, device_address, retained, payload_bytes
FROM quarantine_entry
WHERE quarantine_id = %(id)s;

-- name: may_read_payloads
SELECT has_column_privilege('quarantine', 'payload', 'SELECT') AS may;

-- name: payloads
SELECT quarantine_id, substring(payload FOR %(longest)s) AS payload
FROM quarantine
WHERE quarantine_id = ANY (%(ids)s);

-- name: keys
SELECT quarantine_id, (extract(epoch FROM received_at) * 1000000)::bigint AS received_us, payload_bytes
FROM quarantine_entry
WHERE {chosen}
  AND (received_at, quarantine_id) > (to_timestamp(0) + %(after_us)s * INTERVAL '1 microsecond', %(after_id)s)
ORDER BY received_at, quarantine_id
LIMIT %(limit)s;

-- name: load
SELECT quarantine_id, (extract(epoch FROM received_at) * 1000000)::bigint AS received_us, topic, payload, retained,
       reason, device_address
FROM quarantine
WHERE quarantine_id = ANY (%(ids)s)
ORDER BY received_at, quarantine_id;

-- name: lock
-- In one order, so that two who remove the same entries do not wait for each other.
SELECT quarantine_id FROM quarantine WHERE quarantine_id = ANY (%(ids)s) ORDER BY quarantine_id FOR UPDATE;

-- name: one_replay
SELECT pg_try_advisory_lock(hashtext('misto quarantine replay')) AS free;

-- name: lasting_is_late
-- What a crash takes back is in quarantine again, whole.
SET synchronous_commit = off;

-- name: twin
-- Another entry of the same message with the same reason.
SELECT o.quarantine_id, o.detail
FROM quarantine AS o
JOIN quarantine AS q ON q.received_at = o.received_at
WHERE q.quarantine_id = %(id)s AND o.quarantine_id <> %(id)s AND o.digest = %(digest)s;

-- name: reword
UPDATE quarantine
SET reason = %(reason)s, detail = %(detail)s, device_address = coalesce(%(device_address)s, device_address),
    digest = %(digest)s
WHERE quarantine_id = %(id)s
  AND (reason, detail) IS DISTINCT FROM (%(reason)s, %(detail)s);

-- name: merge
DELETE FROM quarantine WHERE quarantine_id = %(id)s;

-- name: remove
-- What another transaction works on is left to it.
WITH gone AS (
    DELETE FROM quarantine
    WHERE quarantine_id IN (
        SELECT quarantine_id FROM quarantine WHERE quarantine_id = ANY (%(ids)s)
        ORDER BY quarantine_id FOR UPDATE SKIP LOCKED
    )
    RETURNING reason
), counted AS (
    INSERT INTO quarantine_gone AS g (reason, cause, messages, last_at)
    SELECT reason, %(cause)s, count(*), now() FROM gone GROUP BY reason ORDER BY reason
    ON CONFLICT (reason, cause) DO UPDATE SET messages = g.messages + excluded.messages, last_at = excluded.last_at
)
SELECT count(*) AS messages FROM gone;

-- name: chosen_ids
SELECT quarantine_id FROM quarantine_entry
WHERE {chosen} AND quarantine_id > %(after_id)s
ORDER BY quarantine_id
LIMIT %(limit)s;

-- name: remove_old
WITH gone AS (
    DELETE FROM quarantine
    WHERE quarantine_id IN (
        SELECT quarantine_id FROM quarantine WHERE received_at < now() - make_interval(days => %(days)s)
        ORDER BY quarantine_id FOR UPDATE SKIP LOCKED
    )
    RETURNING reason
), counted AS (
    INSERT INTO quarantine_gone AS g (reason, cause, messages, last_at)
    SELECT reason, 'too_old', count(*), now() FROM gone GROUP BY reason ORDER BY reason
    ON CONFLICT (reason, cause) DO UPDATE SET messages = g.messages + excluded.messages, last_at = excluded.last_at
)
SELECT count(*) AS messages FROM gone;

-- name: sizes
SELECT reason, count(*) AS messages, sum(bytes)::bigint AS bytes FROM quarantine_entry GROUP BY reason ORDER BY reason;

-- name: surplus
-- What has to go so that the rest fits: of the largest reason and source the oldest first, until another is as large,
-- then of both. Seen from the other end: an entry stays if the newer ones of its group take little enough space.
WITH ranked AS (
    SELECT quarantine_id, received_at, bytes,
           sum(bytes) OVER (PARTITION BY reason, source, device_address IS NULL
                            ORDER BY received_at DESC, quarantine_id DESC ROWS UNBOUNDED PRECEDING) AS with_newer
    FROM quarantine_entry
), filled AS (
    SELECT quarantine_id,
           sum(bytes) OVER (ORDER BY with_newer, received_at DESC, quarantine_id DESC ROWS UNBOUNDED PRECEDING) AS bytes
    FROM ranked
)
SELECT quarantine_id FROM filled WHERE bytes > %(most_bytes)s ORDER BY quarantine_id;

-- name: gone
SELECT reason, cause, messages, last_at FROM quarantine_gone ORDER BY reason, cause;

-- name: newest
-- The newest entries of each reason; put into other statements as {newest}. A flood of one kind neither takes the page
-- down nor hides the others. The reasons are found one by one in the index.
RECURSIVE reasons AS (
    (SELECT reason FROM quarantine ORDER BY reason LIMIT 1)
    UNION ALL
    SELECT (SELECT q.reason FROM quarantine AS q WHERE q.reason > r.reason ORDER BY q.reason LIMIT 1)
    FROM reasons AS r WHERE r.reason IS NOT NULL
), newest AS (
    SELECT e.*
    FROM reasons AS r
    CROSS JOIN LATERAL (
        SELECT quarantine_id, received_at, reason, source, device_address FROM quarantine_entry
        WHERE reason = r.reason AND received_at > now() - make_interval(hours => %(hours)s)
        ORDER BY received_at DESC LIMIT %(at_most)s
    ) AS e
    WHERE r.reason IS NOT NULL
)

-- name: by_reason
WITH {newest}
, counted AS (
    SELECT reason, count(*) AS messages, max(quarantine_id) AS sample_id FROM newest GROUP BY reason
)
SELECT c.reason, c.messages, e.quarantine_id, e.received_at, e.topic, e.detail, e.device_address, e.payload_bytes
FROM counted AS c JOIN quarantine_entry AS e ON e.quarantine_id = c.sample_id
ORDER BY c.messages DESC, c.reason;

-- name: by_source
-- Of each reason those who sent most.
WITH {newest}
, counted AS (
    SELECT reason, source, device_address IS NULL AS by_topic, count(*) AS messages, max(received_at) AS newest_at,
           count(*) FILTER (WHERE received_at > now() - INTERVAL '1 hour') AS in_hour,
           count(*) FILTER (WHERE received_at > now() - INTERVAL '1 day') AS in_day,
           row_number() OVER (PARTITION BY reason ORDER BY count(*) DESC, max(received_at) DESC, source) AS place,
           sum(count(*)) OVER (PARTITION BY reason) AS of_reason
    FROM newest
    GROUP BY reason, source, by_topic
)
SELECT reason, source, by_topic, messages, newest_at, in_hour, in_day
FROM counted
WHERE place <= %(limit)s
ORDER BY of_reason DESC, reason, place;

-- name: newest_samples
WITH {newest}
, sampled AS (
    SELECT quarantine_id FROM newest
    WHERE (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(source)s::text IS NULL OR source = %(source)s)
    ORDER BY received_at DESC, quarantine_id DESC LIMIT %(limit)s
)
SELECT e.quarantine_id, e.received_at, e.topic, e.reason, e.detail, e.device_address, e.payload_bytes
FROM sampled JOIN quarantine_entry AS e USING (quarantine_id)
ORDER BY e.received_at DESC, e.quarantine_id DESC;
