CREATE TABLE rule_version (
    rule_hash  text PRIMARY KEY,
    rule_id    text NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rule_state (
    rule_id    text    NOT NULL,
    point_id   integer NOT NULL,
    rule_hash  text    NOT NULL,
    state      jsonb   NOT NULL,
    PRIMARY KEY (rule_id, point_id)
);

-- One alert from the first breach to its end. Times ending in _at are event times but decided_at and closed_decided_at.
CREATE TABLE alert_episode (
    episode_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id     text NOT NULL,
    rule_hash   text NOT NULL,
    point_id    integer NOT NULL REFERENCES point,
    state       text NOT NULL CHECK (state IN ('firing', 'resolved', 'closed_rule_removed')),
    severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    breached_at timestamptz NOT NULL,
    fired_at    timestamptz NOT NULL,
    resolved_at timestamptz,
    decided_at  timestamptz NOT NULL DEFAULT now(),
    closed_decided_at timestamptz,
    title_en    text NOT NULL,
    title_uk    text NOT NULL,
    sentence_en text NOT NULL,
    sentence_uk text NOT NULL,
    advice_en   text NOT NULL DEFAULT '',
    advice_uk   text NOT NULL DEFAULT '',
    value       double precision,
    evidence    jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX alert_episode_one_open ON alert_episode (rule_id, point_id) WHERE state = 'firing';
CREATE UNIQUE INDEX alert_episode_once ON alert_episode (rule_id, point_id, breached_at);
CREATE INDEX alert_episode_open ON alert_episode (fired_at) WHERE state = 'firing';
CREATE INDEX alert_episode_point ON alert_episode (point_id, fired_at);

CREATE TABLE alert_transition (
    transition_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    episode_id    bigint NOT NULL REFERENCES alert_episode,
    from_state    text NOT NULL,
    to_state      text NOT NULL,
    severity      text NOT NULL,
    event_at      timestamptz NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT now(),
    reason        text NOT NULL,
    evidence      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX alert_transition_episode ON alert_transition (episode_id);

-- Append-only; the newest row of an episode holds. A row with until in the past no longer counts.
CREATE TABLE alert_ack (
    ack_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    episode_id bigint NOT NULL REFERENCES alert_episode,
    acked_at   timestamptz NOT NULL DEFAULT now(),
    acked_by   text NOT NULL,
    note       text NOT NULL DEFAULT '',
    until      timestamptz
);
CREATE INDEX alert_ack_episode ON alert_ack (episode_id, ack_id);
