-- What the board and Grafana read. Names end in the language where there are two.

CREATE VIEW point_place AS
SELECT p.point_id, p.code, p.kind, p.interval_s, p.fraction, p.labels,
       coalesce(p.name_en, s.name_en, p.code) AS name_en,
       coalesce(p.name_uk, s.name_uk, p.code) AS name_uk,
       s.id AS site_id, s.kind AS site_kind, s.name_en AS site_name_en, s.name_uk AS site_name_uk,
       s.use, s.address_en, s.address_uk, s.latitude, s.longitude, s.floor_area_m2,
       z.id AS zone_id, z.name_en AS zone_name_en, z.name_uk AS zone_name_uk,
       k.id AS contractor_id, k.name_en AS contractor_name_en, k.name_uk AS contractor_name_uk
FROM point AS p
JOIN site AS s ON s.id = p.site_id
LEFT JOIN zone AS z ON z.id = s.zone_id
LEFT JOIN contractor AS k ON k.id = p.contractor_id
WHERE NOT p.retired AND NOT s.retired;

CREATE VIEW alert_list AS
SELECT e.episode_id, e.rule_id, e.point_id, e.state, e.severity,
       e.breached_at, e.fired_at, e.resolved_at, e.decided_at,
       e.title_en, e.title_uk, e.sentence_en, e.sentence_uk, e.advice_en, e.advice_uk, e.value, e.evidence,
       p.code, p.kind, p.fraction, p.name_en, p.name_uk,
       p.site_id, p.site_name_en, p.site_name_uk, p.address_en, p.address_uk, p.latitude, p.longitude,
       p.zone_id, p.zone_name_en, p.zone_name_uk,
       p.contractor_id, p.contractor_name_en, p.contractor_name_uk,
       a.acked_at, a.acked_by, a.note AS ack_note, a.until AS acked_until
FROM alert_episode AS e
LEFT JOIN point_place AS p ON p.point_id = e.point_id
LEFT JOIN LATERAL (
    SELECT acked_at, acked_by, note, until FROM alert_ack
    WHERE episode_id = e.episode_id ORDER BY ack_id DESC LIMIT 1
) AS a ON a.until IS NULL OR a.until > now();

CREATE VIEW bin_status AS
SELECT p.*, fill.value AS fill_level_pct, fill.time AS fill_time, fill.quality AS fill_quality,
       temperature.value AS temperature_c, battery.value AS battery_pct, tilted.value AS tilted,
       f.fill_rate_pct_per_h, f.full_at, f.full_at_early, f.full_at_late,
       (SELECT max(c.time) FROM collection AS c WHERE c.point_id = p.point_id) AS collected_at
FROM point_place AS p
LEFT JOIN point_latest AS fill ON fill.point_id = p.point_id AND fill.metric_id = 30
LEFT JOIN point_latest AS temperature ON temperature.point_id = p.point_id AND temperature.metric_id = 40
LEFT JOIN point_latest AS battery ON battery.point_id = p.point_id AND battery.metric_id = 50
LEFT JOIN point_latest AS tilted ON tilted.point_id = p.point_id AND tilted.metric_id = 32
LEFT JOIN bin_forecast AS f ON f.point_id = p.point_id
WHERE p.kind = 'bin';

-- Every device with where it is and when it last spoke. `silent` allows for four missed intervals.
CREATE VIEW device_health AS
SELECT d.device_id, d.address, d.profile, d.state, d.first_seen_at, d.guess,
       s.last_received_at, s.last_event_at, s.message_count, s.envelope, s.unknown_fields,
       a.point_id, p.code, p.kind, p.interval_s,
       p.site_id, site.name_en AS site_name_en, site.name_uk AS site_name_uk,
       battery.value AS battery_pct, rssi.value AS rssi_dbm,
       s.last_received_at IS NULL
           OR s.last_received_at < now() - make_interval(secs => 4 * p.interval_s) AS silent
FROM device AS d
LEFT JOIN device_status AS s USING (device_id)
LEFT JOIN LATERAL (
    SELECT point_id FROM assignment
    WHERE device_id = d.device_id AND now() >= valid_from AND now() < valid_to
    ORDER BY channel LIMIT 1
) AS a ON true
LEFT JOIN point AS p ON p.point_id = a.point_id
LEFT JOIN site ON site.id = p.site_id
LEFT JOIN point_latest AS battery ON battery.point_id = a.point_id AND battery.metric_id = 50
LEFT JOIN point_latest AS rssi ON rssi.point_id = a.point_id AND rssi.metric_id = 52
WHERE d.state <> 'retired';
