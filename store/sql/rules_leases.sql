-- name: register
INSERT INTO rules_worker (name, rules_hash, backend_pid, started_at, lease_until)
VALUES (%(name)s, %(rules_hash)s, pg_backend_pid(), coalesce(%(started_at)s, now()),
        now() + make_interval(secs => %(lease_s)s))
RETURNING worker_id, started_at;

-- name: session_limit
-- A worker that stands still in the middle of a transaction would keep its partitions, and every reader of the log, for
-- as long as it stands.
SELECT set_config('idle_in_transaction_session_timeout', (%(lease_s)s * 1000)::integer::text, false);

-- name: forget_old
DELETE FROM service_heartbeat WHERE service = 'rules' AND beat_at < now() - INTERVAL '1 day';

-- name: renew
UPDATE rules_worker SET lease_until = now() + make_interval(secs => %(lease_s)s) WHERE worker_id = %(worker_id)s;

-- name: workers
SELECT worker_id, rules_hash, started_at FROM rules_worker
WHERE rules_worker_lives(lease_until, backend_pid) ORDER BY worker_id;

-- name: end_sessions
-- The same for one that stands still in the middle of a statement, where the server knows no limit.
SELECT pg_terminate_backend(a.pid)
FROM rules_worker AS w JOIN pg_stat_activity AS a ON a.pid = w.backend_pid
WHERE w.lease_until < now() AND a.xact_start < now() - make_interval(secs => %(lease_s)s)
  AND a.usename = current_user AND a.application_name = 'misto-rules';

-- name: bury
DELETE FROM rules_worker
WHERE worker_id IN (SELECT worker_id FROM rules_worker
                    WHERE NOT rules_worker_lives(lease_until, backend_pid) FOR UPDATE SKIP LOCKED)
  AND NOT EXISTS (SELECT FROM rules_partition WHERE holder = worker_id);

-- name: partitions
SELECT partition, holder, token, xid::text::bigint, seq FROM rules_partition ORDER BY partition;

-- name: rule_sets
SELECT rules_hash, since FROM rule_set ORDER BY since DESC;

-- name: change_hands
-- One whose row is locked is being written by its holder: it is left for the next time.
UPDATE rules_partition AS p SET holder = %(holder)s, token = p.token + 1, taken_at = now()
FROM (SELECT partition FROM rules_partition
      WHERE (partition, token) IN (SELECT * FROM unnest(%(partitions)s::smallint[], %(tokens)s::bigint[]))
      FOR UPDATE SKIP LOCKED) AS free
WHERE p.partition = free.partition
RETURNING p.partition, p.holder, p.token, p.xid::text::bigint, p.seq;

-- name: fence
SELECT partition FROM rules_partition
WHERE (partition, token) IN (SELECT * FROM unnest(%(partitions)s::smallint[], %(tokens)s::bigint[]))
ORDER BY partition FOR UPDATE;

-- name: advance
UPDATE rules_partition AS p SET xid = %(xid)s::text::xid8, seq = %(seq)s
FROM (SELECT partition FROM rules_partition
      WHERE (partition, token) IN (SELECT * FROM unnest(%(partitions)s::smallint[], %(tokens)s::bigint[]))
      ORDER BY partition FOR UPDATE) AS mine
WHERE p.partition = mine.partition;

-- name: lock_rule_set
SELECT pg_advisory_xact_lock(hashtext('misto rule set'));

-- name: put_in_force
INSERT INTO rule_set (rules_hash, since) VALUES (%(rules_hash)s, clock_timestamp())
ON CONFLICT (rules_hash) DO UPDATE SET since = excluded.since;

-- name: free_all
UPDATE rules_partition AS p SET holder = NULL, token = p.token + 1
FROM (SELECT partition FROM rules_partition ORDER BY partition FOR UPDATE) AS every
WHERE p.partition = every.partition;

-- name: leave
DELETE FROM rules_worker WHERE worker_id = %(worker_id)s;

-- name: worker_list
SELECT name, alive, in_force, partitions FROM rules_worker_list ORDER BY worker_id;

-- name: unheld
SELECT count(*) FROM rules_partition AS p
WHERE NOT EXISTS (SELECT FROM rules_worker_list AS w WHERE w.worker_id = p.holder AND w.alive);
