-- The life of an alert after it has fired: who takes care, what is silenced, what people said of it, and what is to be
-- told. Everything that somebody did is kept: the services' roles may add to these tables and change nothing in them.

ALTER TABLE alert_episode DROP CONSTRAINT alert_episode_state_check;
ALTER TABLE alert_episode ADD CONSTRAINT alert_episode_state_check
    CHECK (state IN ('firing', 'resolved', 'retracted', 'closed_rule_removed'));
-- The episode's newest breach, where it was opened again (reopen_within), and when it had ended before.
ALTER TABLE alert_episode ADD COLUMN rebreached_at timestamptz, ADD COLUMN ended_before timestamptz;

-- taken: somebody takes care. withdrawn: by hand. ended: the alert ended, its severity rose, or `until` has passed.
ALTER TABLE alert_ack ADD COLUMN action text NOT NULL DEFAULT 'taken' CHECK (action IN ('taken', 'withdrawn', 'ended'));

CREATE INDEX alert_transition_decided ON alert_transition (decided_at);

-- What is not told of. Every given part must fit; of the values of a part one.
CREATE TABLE silence (
    silence_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rules       text[] NOT NULL DEFAULT '{}',
    points      text[] NOT NULL DEFAULT '{}',
    sites       text[] NOT NULL DEFAULT '{}',
    zones       text[] NOT NULL DEFAULT '{}',
    kinds       text[] NOT NULL DEFAULT '{}',
    contractors text[] NOT NULL DEFAULT '{}',
    severities  text[] NOT NULL DEFAULT '{}',
    labels      jsonb  NOT NULL DEFAULT '{}',
    begins_at   timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz NOT NULL,
    author      text NOT NULL CHECK (author <> ''),
    reason      text NOT NULL CHECK (reason <> ''),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > begins_at),
    CHECK (labels <> '{}' OR cardinality(rules || points || sites || zones || kinds || contractors || severities) > 0)
);
CREATE TABLE silence_end (
    silence_id bigint PRIMARY KEY REFERENCES silence,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    ended_by   text NOT NULL CHECK (ended_by <> '')
);
CREATE VIEW silence_list AS
SELECT s.*, e.ended_at, e.ended_by, least(s.ends_at, e.ended_at) AS over_at,
       CASE WHEN least(s.ends_at, e.ended_at) <= now() THEN 'over'
            WHEN s.begins_at > now() THEN 'coming' ELSE 'active' END AS state
FROM silence AS s LEFT JOIN silence_end AS e USING (silence_id);

-- What keeps an open alert from being told, from when to when: the newest row of an episode and kind holds.
-- cause: the silence, or the alert that hides it.
CREATE TABLE alert_mark (
    mark_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    episode_id bigint NOT NULL REFERENCES alert_episode,
    kind       text NOT NULL CHECK (kind IN ('silenced', 'inhibited', 'flapping')),
    at         timestamptz NOT NULL DEFAULT now(),
    begun      boolean NOT NULL,
    cause      bigint
);
CREATE INDEX alert_mark_episode ON alert_mark (episode_id, kind, mark_id DESC);
CREATE INDEX alert_mark_flapping ON alert_mark (episode_id, mark_id DESC) WHERE kind = 'flapping';

CREATE TABLE alert_feedback (
    feedback_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    episode_id  bigint NOT NULL REFERENCES alert_episode,
    verdict     text NOT NULL CHECK (verdict IN ('right', 'false')),
    note        text NOT NULL DEFAULT '',
    given_by    text NOT NULL CHECK (given_by <> ''),
    given_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_feedback_episode ON alert_feedback (episode_id, feedback_id);

-- What is to be told, written with the transition that it tells of. Whoever sends takes what is released, in order.
-- step: the number of an escalation, counted from the row `escalates`.
CREATE TABLE alert_outbox (
    outbox_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    episode_id    bigint NOT NULL REFERENCES alert_episode,
    transition_id bigint REFERENCES alert_transition,
    kind          text NOT NULL CHECK (kind IN ('firing', 'ended', 'retracted', 'severity', 'flapping', 'reminder',
                                                'escalation')),
    severity      text NOT NULL,
    reason        text NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    recipient     text,
    escalates     bigint REFERENCES alert_outbox,
    step          smallint,
    released_at   timestamptz,
    withheld_at   timestamptz,
    withheld_because text CHECK (withheld_because IN ('silenced', 'inhibited', 'flapping', 'not_told')),
    withheld_by   bigint,
    CHECK (released_at IS NULL OR withheld_at IS NULL),
    CHECK ((withheld_at IS NULL) = (withheld_because IS NULL))
);
CREATE INDEX alert_outbox_undecided ON alert_outbox (outbox_id) WHERE released_at IS NULL AND withheld_at IS NULL;
CREATE INDEX alert_outbox_episode ON alert_outbox (episode_id, outbox_id);
CREATE UNIQUE INDEX alert_outbox_escalation ON alert_outbox (escalates, step);

CREATE FUNCTION severity_rank(severity text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_position(ARRAY['info', 'warning', 'critical'], severity);

-- The one place where a transition ends an acknowledgement and asks to be told.
CREATE FUNCTION alert_transition_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before text;
    rose   boolean;
    what   text;
BEGIN
    SELECT severity INTO before FROM alert_transition
    WHERE episode_id = NEW.episode_id AND transition_id < NEW.transition_id ORDER BY transition_id DESC LIMIT 1;
    rose := coalesce(severity_rank(NEW.severity) > severity_rank(before), false);
    IF NEW.to_state <> 'firing' OR rose THEN
        INSERT INTO alert_ack (episode_id, action, acked_by, note)
        SELECT NEW.episode_id, 'ended', '',
               CASE WHEN NEW.to_state <> 'firing' THEN 'the alert ended' ELSE 'the severity rose' END
        FROM (SELECT action, until FROM alert_ack WHERE episode_id = NEW.episode_id ORDER BY ack_id DESC LIMIT 1) AS a
        WHERE a.action = 'taken';
    END IF;
    what := CASE WHEN NEW.to_state = 'retracted' THEN 'retracted'
                 WHEN NEW.to_state <> 'firing' AND NEW.from_state = 'firing' THEN 'ended'
                 WHEN NEW.to_state = 'firing' AND NEW.from_state <> 'firing' THEN 'firing'
                 WHEN NEW.to_state = 'firing' AND before <> NEW.severity THEN 'severity' END;
    IF what IS NOT NULL THEN
        INSERT INTO alert_outbox (episode_id, transition_id, kind, severity, reason)
        VALUES (NEW.episode_id, NEW.transition_id, what, NEW.severity, NEW.reason);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER alert_transition_follows AFTER INSERT ON alert_transition
FOR EACH ROW EXECUTE FUNCTION alert_transition_follows();

CREATE OR REPLACE VIEW alert_list AS
SELECT e.episode_id, e.rule_id, e.point_id, e.state, e.severity,
       e.breached_at, e.fired_at, e.resolved_at, e.decided_at,
       e.title_en, e.title_uk, e.sentence_en, e.sentence_uk, e.advice_en, e.advice_uk, e.value, e.evidence,
       p.code, p.kind, p.fraction, p.name_en, p.name_uk,
       p.site_id, p.site_name_en, p.site_name_uk, p.address_en, p.address_uk, p.latitude, p.longitude,
       p.zone_id, p.zone_name_en, p.zone_name_uk,
       p.contractor_id, p.contractor_name_en, p.contractor_name_uk,
       a.acked_at, a.acked_by, a.note AS ack_note, a.until AS acked_until,
       silenced.cause AS silenced_by, hidden.cause AS hidden_by, flapping.begun IS TRUE AS flapping,
       e.state = 'firing' AND r.state #>> '{core,0}' = 'recovering' IS TRUE AS recovering,
       f.verdict
FROM alert_episode AS e
LEFT JOIN point_place AS p ON p.point_id = e.point_id
LEFT JOIN rule_state AS r ON (r.rule_id, r.point_id) = (e.rule_id, e.point_id)
LEFT JOIN LATERAL (
    SELECT acked_at, acked_by, note, until, action FROM alert_ack
    WHERE episode_id = e.episode_id ORDER BY ack_id DESC LIMIT 1
) AS a ON a.action = 'taken' AND (a.until IS NULL OR a.until > now())
LEFT JOIN LATERAL (
    SELECT begun, cause FROM alert_mark WHERE episode_id = e.episode_id AND kind = 'silenced'
    ORDER BY mark_id DESC LIMIT 1
) AS silenced ON silenced.begun AND e.state = 'firing'
LEFT JOIN LATERAL (
    SELECT begun, cause FROM alert_mark WHERE episode_id = e.episode_id AND kind = 'inhibited'
    ORDER BY mark_id DESC LIMIT 1
) AS hidden ON hidden.begun AND e.state = 'firing'
    -- While no rules process runs nobody ends the mark of what is no longer hidden.
    AND EXISTS (SELECT FROM alert_episode AS c WHERE c.episode_id = hidden.cause AND c.state = 'firing')
LEFT JOIN LATERAL (
    SELECT begun FROM alert_mark WHERE episode_id = e.episode_id AND kind = 'flapping'
    ORDER BY mark_id DESC LIMIT 1
) AS flapping ON flapping.begun
LEFT JOIN LATERAL (
    SELECT verdict FROM alert_feedback WHERE episode_id = e.episode_id ORDER BY feedback_id DESC LIMIT 1
) AS f ON true;

-- What people said of each rule's alerts; the newest word on an alert counts. Alerts that never were do not.
CREATE VIEW rule_feedback AS
SELECT e.rule_id, count(*) AS fired,
       count(*) FILTER (WHERE f.verdict = 'right') AS was_right,
       count(*) FILTER (WHERE f.verdict = 'false') AS was_false,
       count(*) FILTER (WHERE f.verdict IS NULL) AS unanswered,
       max(e.fired_at) AS last_fired_at, max(f.given_at) AS last_feedback_at
FROM alert_episode AS e
LEFT JOIN LATERAL (
    SELECT verdict, given_at FROM alert_feedback WHERE episode_id = e.episode_id ORDER BY feedback_id DESC LIMIT 1
) AS f ON true
WHERE e.state <> 'retracted'
GROUP BY e.rule_id;

GRANT SELECT ON silence, silence_end, silence_list, alert_mark, alert_feedback, alert_outbox, rule_feedback
    TO misto_ingest, misto_rules, misto_board, misto_read;
GRANT INSERT ON alert_mark, alert_outbox, alert_ack TO misto_rules;
GRANT UPDATE (released_at, withheld_at, withheld_because, withheld_by) ON alert_outbox TO misto_rules;
GRANT INSERT ON silence, silence_end, alert_feedback TO misto_board;
