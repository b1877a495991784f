-- Files of history, taken over by `misto import`. A row is one go through a file; one that is not finished goes on from
-- `position`, which commits together with the readings. digest: of the content and of how it is read.
CREATE TABLE import (
    import_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file         text        NOT NULL,
    digest       bytea       NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    position     bigint      NOT NULL DEFAULT 0,
    stored       bigint      NOT NULL DEFAULT 0,
    duplicates   bigint      NOT NULL DEFAULT 0,
    rejected     bigint      NOT NULL DEFAULT 0,
    reject_bytes bigint      NOT NULL DEFAULT 0,
    first_at     timestamptz,
    last_at      timestamptz
);
CREATE UNIQUE INDEX import_unfinished ON import (digest) WHERE finished_at IS NULL;

-- What an import has brought of each series and the reading log does not tell yet.
CREATE TABLE import_series (
    import_id bigint      NOT NULL REFERENCES import ON DELETE CASCADE,
    point_id  integer     NOT NULL,
    metric_id smallint    NOT NULL,
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    readings  bigint      NOT NULL,
    PRIMARY KEY (import_id, point_id, metric_id)
);

-- A batch of the origin `import` does not hold its readings, but of each series the first, the last and the newest:
-- what lies between them may be new. reading_count says how many were.
ALTER TABLE reading_log ADD COLUMN origin text NOT NULL DEFAULT 'live' CHECK (origin IN ('live', 'import'));

-- Times whose readings came after the policies of the Community edition had gone over them.
CREATE TABLE rollup_due (
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL
);

GRANT SELECT ON import TO misto_board, misto_read;
