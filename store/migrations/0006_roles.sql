-- Roles belong to the whole server, so they may exist already. They have no password until an administrator sets one
-- (`misto migrate` does, from MISTO_INGEST_PASSWORD and its like), and so cannot log in from the network before.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['misto_ingest', 'misto_rules', 'misto_board', 'misto_read'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO misto_ingest, misto_rules, misto_board, misto_read;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO misto_ingest, misto_rules, misto_board;

GRANT INSERT ON readings, reading_log, quarantine, ingest_outage TO misto_ingest;
GRANT INSERT, UPDATE, DELETE ON delivery, service_heartbeat, device_status TO misto_ingest;
GRANT INSERT ON device, point, assignment TO misto_ingest;

GRANT INSERT, UPDATE, DELETE ON rule_state TO misto_rules;
GRANT INSERT, UPDATE ON rule_version, alert_episode, log_cursor, service_heartbeat TO misto_rules;
GRANT INSERT ON alert_transition TO misto_rules;

GRANT INSERT ON alert_ack TO misto_board;
GRANT INSERT, UPDATE ON service_heartbeat TO misto_board;

-- Grafana sees what people see; payloads of unreadable messages stay inside.
GRANT SELECT ON city, zone, contractor, tariff, site, metric, point, device, assignment, device_status, readings,
    alert_episode, alert_transition, alert_ack, point_latest, consumption_hourly, consumption_daily, collection,
    bin_forecast, service_heartbeat, ingest_outage, point_place, alert_list, bin_status, device_health,
    log_cursor TO misto_read;
GRANT SELECT (quarantine_id, received_at, topic, reason, detail, device_address) ON quarantine TO misto_read;
