-- Devices are placed by commands and on the board too. What was made by hand is kept by `misto inventory load` until
-- the file knows it. placed_at: since then what is still on its way goes to the device's new point.
ALTER TABLE assignment ADD COLUMN by_hand boolean NOT NULL DEFAULT false;
ALTER TABLE point ADD COLUMN by_hand boolean NOT NULL DEFAULT false;
ALTER TABLE device ADD COLUMN placed_at timestamptz;

-- Suggestions, and the first reading of a device that had only told about itself.
GRANT UPDATE (profile, first_seen_at, guess) ON device TO misto_ingest;

-- What comes to a point from elsewhere is new there: the readers of the log derive from it. It was not received now.
CREATE FUNCTION move_readings(from_point integer, to_point integer, since timestamptz, until timestamptz)
RETURNS bigint LANGUAGE sql SET search_path = public, pg_temp AS $$
    WITH moved AS (
        DELETE FROM readings WHERE point_id = from_point AND time >= since AND time < until
        RETURNING time, metric_id, value, quality
    ), new AS (
        INSERT INTO readings (time, point_id, metric_id, value, quality)
        SELECT time, to_point, metric_id, value, quality FROM moved
        ON CONFLICT DO NOTHING
        RETURNING time, point_id, metric_id, value, quality
    ), logged AS (
        INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities)
        SELECT least(now(), max(time)), count(*), array_agg((date_part('epoch', time) * 1e6)::bigint),
               array_agg(point_id), array_agg(metric_id), array_agg(value), array_agg(quality)
        FROM (SELECT * FROM new ORDER BY time) AS ordered
        HAVING count(*) > 0
    )
    SELECT count(*) FROM moved;
$$;

-- A counter's first reading after the meters changed is logged again, so that its consumption is worked out anew.
CREATE FUNCTION log_change(at_point integer, since timestamptz)
RETURNS void LANGUAGE sql SET search_path = public, pg_temp AS $$
    INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities)
    SELECT least(now(), max(r.time)), count(*), array_agg((date_part('epoch', r.time) * 1e6)::bigint),
           array_agg(at_point), array_agg(m.metric_id), array_agg(r.value), array_agg(r.quality)
    FROM metric AS m
    CROSS JOIN LATERAL (
        SELECT time, value, quality FROM readings
        WHERE point_id = at_point AND metric_id = m.metric_id AND time >= since AND quality = 0
        ORDER BY time LIMIT 1
    ) AS r
    WHERE m.kind = 'counter'
    HAVING count(*) > 0;
$$;

-- Readings that a device sent before anybody placed it move to its point, those of the time that it was there. A
-- channel that had no point was a device of its own, called address/channel.
CREATE FUNCTION move_placeholder(its_address text, its_channel text, to_point integer, since timestamptz,
                                 until timestamptz)
RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    old integer;
    moved bigint := 0;
BEGIN
    FOR old IN
        SELECT point_id FROM point
        WHERE site_id IS NULL
          AND code IN ('unclaimed:' || its_address,
                       'unclaimed:' || its_address || CASE its_channel WHEN '' THEN '' ELSE '/' || its_channel END)
    LOOP
        moved := moved + move_readings(old, to_point, since, until);
        DELETE FROM assignment WHERE point_id = old;
        DELETE FROM point_latest WHERE point_id = old;
        DELETE FROM consumption_hourly WHERE point_id = old;
        UPDATE point SET retired = true WHERE point_id = old;
        UPDATE device SET placed_at = now() WHERE address = its_address;
    END LOOP;
    IF its_channel <> '' THEN
        UPDATE device SET state = 'retired' WHERE address = its_address || '/' || its_channel AND state = 'unclaimed';
    END IF;
    RETURN moved;
END $$;

-- Messages that ingest had already read when their device was placed still go to the placeholder: they follow.
CREATE FUNCTION settle_placed_devices() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(move_readings(p.point_id, a.point_id, a.valid_from, a.valid_to)), 0)
    FROM device AS d
    JOIN assignment AS a USING (device_id)
    JOIN point AS q ON q.point_id = a.point_id AND q.site_id IS NOT NULL
    JOIN point AS p ON p.code = 'unclaimed:' || d.address || CASE a.channel WHEN '' THEN '' ELSE '/' || a.channel END
    WHERE d.placed_at > now() - INTERVAL '10 minutes'
      AND NOT EXISTS (SELECT FROM assignment WHERE point_id = p.point_id);
$$;

-- A point of an existing site for a device; returns its code. Errors: MI001 no such site, MI002 the code is taken.
CREATE FUNCTION add_point(at_site text, its_code text, its_kind text, its_fraction text, its_interval_s double precision)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('misto inventory'));
    IF NOT EXISTS (SELECT FROM site WHERE id = at_site AND NOT retired) THEN
        RAISE EXCEPTION 'there is no site %', at_site USING ERRCODE = 'MI001';
    ELSIF EXISTS (SELECT FROM point WHERE code = its_code) THEN
        RAISE EXCEPTION 'there is a point % already', its_code USING ERRCODE = 'MI002';
    ELSIF its_code !~ '^[a-z0-9][a-z0-9-]{0,62}$'
          OR its_kind NOT IN ('electricity', 'heat', 'gas', 'water', 'bin', 'weather', 'indoor')
          OR (its_kind = 'bin') <> (its_fraction IS NOT NULL)
          OR its_fraction NOT IN ('mixed', 'paper', 'plastic', 'glass', 'bio')
          OR NOT its_interval_s BETWEEN 1 AND 31 * 86400 THEN
        RAISE EXCEPTION 'the point % cannot be so', its_code USING ERRCODE = 'MI003';
    END IF;
    INSERT INTO point (code, site_id, kind, fraction, interval_s, by_hand)
    VALUES (its_code, at_site, its_kind, its_fraction, its_interval_s, true);
    PERFORM pg_notify('misto_registry', '');
    RETURN its_code;
END $$;

-- A device comes to a point, by hand. Without `since` it has been there since the point's last device went and since it
-- was itself elsewhere; where neither was, always. Returns how many readings moved there.
-- Errors: MI004 no such point, MI005 another device is there, MI006 it is elsewhere, MI007 `since` is in the future.
CREATE FUNCTION place_device(its_address text, its_channel text, at_point text, since timestamptz, its_profile text,
                             its_register_start double precision)
RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    the_point integer;
    the_device integer;
    other record;
    place assignment%ROWTYPE;
    again boolean;
    moved bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('misto inventory'));
    SELECT p.point_id INTO the_point FROM point AS p JOIN site AS s ON s.id = p.site_id
    WHERE p.code = at_point AND NOT p.retired AND NOT s.retired;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no point %', at_point USING ERRCODE = 'MI004';
    ELSIF since > now() THEN
        RAISE EXCEPTION '% is in the future', since USING ERRCODE = 'MI007';
    END IF;
    INSERT INTO device (address, profile, state) VALUES (its_address, its_profile, 'claimed')
    ON CONFLICT (address) DO UPDATE SET profile = coalesce(excluded.profile, device.profile)
    RETURNING device_id INTO the_device;

    -- The same device comes back, with nobody there in between: it has been there all the time.
    SELECT a.* INTO place FROM assignment AS a WHERE a.point_id = the_point ORDER BY a.valid_to DESC LIMIT 1;
    again := FOUND AND place.device_id = the_device AND place.channel = its_channel AND place.valid_to <> 'infinity'
       AND its_register_start IS NULL AND place.register_end IS NULL
       AND (since IS NULL OR since BETWEEN place.valid_from AND place.valid_to)
       AND NOT EXISTS (SELECT FROM assignment AS a JOIN point AS p USING (point_id)
                       WHERE a.device_id = the_device AND a.channel = its_channel AND a.valid_to > place.valid_to
                         AND p.site_id IS NOT NULL);
    IF NOT again THEN
        since := least(now(), coalesce(since, greatest(
            (SELECT max(valid_to) FROM assignment WHERE point_id = the_point AND valid_to <> 'infinity'),
            (SELECT max(a.valid_to) FROM assignment AS a JOIN point AS p USING (point_id)
             WHERE a.device_id = the_device AND a.channel = its_channel AND p.site_id IS NOT NULL
               AND a.valid_to <> 'infinity'),
            '-infinity')));
        SELECT d.address INTO other FROM assignment AS a JOIN device AS d USING (device_id)
        WHERE a.point_id = the_point AND a.valid_to > since LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the device % is at the point % already', other.address, at_point
                USING ERRCODE = 'MI005', DETAIL = other.address;
        END IF;
        SELECT p.code INTO other FROM assignment AS a JOIN point AS p USING (point_id)
        WHERE a.device_id = the_device AND a.channel = its_channel AND a.valid_to > since AND p.site_id IS NOT NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the device % is at the point %', its_address, other.code
                USING ERRCODE = 'MI006', DETAIL = other.code;
        END IF;
        place.valid_from := since;
    END IF;
    -- The placeholder goes first: its assignment may begin at the same moment.
    moved := move_placeholder(its_address, its_channel, the_point, place.valid_from, 'infinity');
    IF again THEN
        UPDATE assignment SET valid_to = 'infinity', by_hand = true WHERE assignment_id = place.assignment_id;
    ELSE
        INSERT INTO assignment (device_id, point_id, channel, valid_from, register_start, by_hand)
        VALUES (the_device, the_point, its_channel, since, its_register_start, true);
    END IF;
    UPDATE device SET state = 'claimed', placed_at = now() WHERE device_id = the_device;
    PERFORM pg_notify('misto_registry', '');
    RETURN moved;
END $$;

-- What the board may do: place a device that nobody has claimed. Error: MI008 it is no longer unclaimed.
CREATE FUNCTION claim_unclaimed(its_device integer, at_point text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    its_address text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('misto inventory'));
    SELECT address INTO its_address FROM device WHERE device_id = its_device AND state = 'unclaimed' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the device is not unclaimed' USING ERRCODE = 'MI008';
    END IF;
    RETURN place_device(its_address, '', at_point, NULL, NULL, NULL);
END $$;

REVOKE ALL ON FUNCTION move_readings, log_change, move_placeholder, settle_placed_devices, add_point, place_device,
    claim_unclaimed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION settle_placed_devices TO misto_ingest;
GRANT EXECUTE ON FUNCTION add_point, claim_unclaimed TO misto_board;
