-- Versions of the city's own rules: the texts of its files by name, as `misto rules apply` recorded them. The newest is
-- in force, over the shipped rules of the Misto that runs (docs/decisions/005-rules-versions.md).
CREATE TABLE rules_applied (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    author     text        NOT NULL,
    note       text        NOT NULL DEFAULT '',
    files      jsonb       NOT NULL
);

-- version: whose own rules are in the set. rules: of each rule by id a digest of all that it says, also of its texts.
ALTER TABLE rule_set ADD COLUMN version integer REFERENCES rules_applied,
    ADD COLUMN rules jsonb NOT NULL DEFAULT '{}';

GRANT SELECT ON rules_applied TO misto_ingest, misto_rules, misto_board, misto_read;
GRANT INSERT ON rules_applied TO misto_rules;
