-- Several rules workers share the points by partitions; docs/operations.md, "Several rules workers".

-- The partition of a point, 0 to 63. Spread by a hash, for numbers follow the order of the inventory.
CREATE FUNCTION rules_partition_of(point_id integer) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((point_id::bigint * 2654435761 & 4294967295) >> 26)::smallint;

-- Sets of rules that have been in force; the newest is.
CREATE TABLE rule_set (
    rules_hash text PRIMARY KEY,
    since      timestamptz NOT NULL
);

-- A worker lives until its lease ends, or until its database session does. started_at is the process's.
CREATE TABLE rules_worker (
    worker_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    rules_hash  text        NOT NULL,
    backend_pid integer     NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL
);

-- The place in the reading log of each partition, and who may move it: only who knows the token, which every change of
-- hands raises. holder: the worker_id of one who may have died since.
CREATE TABLE rules_partition (
    partition smallint PRIMARY KEY,
    holder    bigint,
    token     bigint NOT NULL DEFAULT 0,
    taken_at  timestamptz,
    xid       xid8   NOT NULL,
    seq       bigint NOT NULL
) WITH (fillfactor = 20);

-- A rules process of the version before must neither go on from the old cursor nor make it anew.
LOCK TABLE log_cursor IN ACCESS EXCLUSIVE MODE;
INSERT INTO rules_partition (partition, xid, seq)
SELECT number, coalesce(c.xid, '0'::xid8), coalesce(c.seq, 0)
FROM generate_series(0, 63) AS number LEFT JOIN log_cursor AS c ON c.reader = 'rules';
DELETE FROM log_cursor WHERE reader = 'rules';
ALTER TABLE log_cursor ADD CHECK (reader <> 'rules');

-- How far each reader of the log is for certain; that of the rules is their slowest partition, once any has begun.
CREATE VIEW log_position AS
SELECT reader, xid, seq FROM log_cursor
UNION ALL
(SELECT 'rules', xid, seq FROM rules_partition
 WHERE EXISTS (SELECT FROM rules_partition WHERE xid > '0'::xid8)
 ORDER BY xid, seq LIMIT 1);

CREATE FUNCTION rules_worker_lives(its_lease_until timestamptz, its_backend_pid integer) RETURNS boolean
LANGUAGE sql STABLE
RETURN its_lease_until > now() AND EXISTS (SELECT FROM pg_stat_get_activity(its_backend_pid));

-- Who holds what.
CREATE VIEW rules_worker_list AS
SELECT w.worker_id, w.name, w.started_at, rules_worker_lives(w.lease_until, w.backend_pid) AS alive,
       w.rules_hash = (SELECT s.rules_hash FROM rule_set AS s ORDER BY s.since DESC LIMIT 1) AS in_force,
       count(p.partition)::integer AS partitions, max(p.taken_at) AS last_taken_at
FROM rules_worker AS w LEFT JOIN rules_partition AS p ON p.holder = w.worker_id
GROUP BY w.worker_id;

GRANT SELECT ON rule_set, rules_worker, rules_partition, log_position, rules_worker_list TO misto_ingest, misto_rules,
    misto_board, misto_read;
GRANT INSERT, UPDATE ON rule_set TO misto_rules;
GRANT INSERT, UPDATE, DELETE ON rules_worker TO misto_rules;
GRANT UPDATE ON rules_partition TO misto_rules;
GRANT DELETE ON service_heartbeat TO misto_rules;
