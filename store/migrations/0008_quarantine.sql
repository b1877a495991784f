-- What is in quarantine, how much space it takes, and what has left it.

-- The broker sends a retained message again at every new session: without a time of its own it is no reading, also when
-- it is replayed.
ALTER TABLE quarantine ADD COLUMN retained boolean NOT NULL DEFAULT false;

-- The newest entries of each reason, however many there are of another.
CREATE INDEX quarantine_reason ON quarantine (reason, received_at);

-- Everything but the payload. `source` is who sent it: the device, or the topic where no device is known. `bytes` is what
-- the size of the quarantine is counted in: the contents, and 200 bytes for a row and its entries in the indexes.
CREATE VIEW quarantine_entry AS
SELECT quarantine_id, received_at, topic, reason, detail, device_address, retained,
       coalesce(device_address, topic) AS source, octet_length(payload) AS payload_bytes,
       octet_length(payload) + octet_length(topic) + octet_length(detail) + 200 AS bytes
FROM quarantine;

-- How many messages have left the quarantine, by the reason that they had last.
CREATE TABLE quarantine_gone (
    reason   text        NOT NULL,
    cause    text        NOT NULL CHECK (cause IN ('replayed', 'no_reading', 'by_hand', 'too_old', 'too_much')),
    messages bigint      NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (reason, cause)
);

-- Payloads may hold secrets: the owner replays them, the board shows them with secrets hidden, nobody else needs them.
REVOKE SELECT ON quarantine FROM misto_ingest, misto_rules;
GRANT SELECT (quarantine_id, received_at, topic, reason, detail, device_address, retained) ON quarantine
    TO misto_ingest, misto_rules;
GRANT SELECT (retained) ON quarantine TO misto_read;
GRANT SELECT ON quarantine_entry, quarantine_gone TO misto_board, misto_read;
