-- The city as the inventory describes it. Rows are kept by `misto inventory load`.
CREATE TABLE city (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name_en     text NOT NULL,
    name_uk     text NOT NULL,
    time_zone   text NOT NULL,
    currency    text NOT NULL,
    latitude    double precision NOT NULL,
    longitude   double precision NOT NULL
);

CREATE TABLE zone (
    id      text PRIMARY KEY,
    name_en text NOT NULL,
    name_uk text NOT NULL
);

CREATE TABLE contractor (
    id      text PRIMARY KEY,
    name_en text NOT NULL,
    name_uk text NOT NULL,
    phone   text,
    email   text
);

CREATE TABLE tariff (
    kind       text NOT NULL,
    valid_from date NOT NULL,
    price      double precision NOT NULL,
    PRIMARY KEY (kind, valid_from)
);

CREATE TABLE site (
    id            text PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('building', 'stand')),
    name_en       text NOT NULL,
    name_uk       text NOT NULL,
    use           text,
    address_en    text,
    address_uk    text,
    zone_id       text REFERENCES zone,
    latitude      double precision NOT NULL,
    longitude     double precision NOT NULL,
    floor_area_m2 double precision,
    labels        jsonb NOT NULL DEFAULT '{}',
    retired       boolean NOT NULL DEFAULT false
);

CREATE TABLE metric (
    metric_id smallint PRIMARY KEY,
    name      text NOT NULL UNIQUE,
    unit      text NOT NULL,
    quantity  text NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('counter', 'gauge', 'state')),
    range_low  double precision NOT NULL,
    range_high double precision NOT NULL,
    name_en   text NOT NULL,
    name_uk   text NOT NULL
);

-- What is measured. A point without a site belongs to a device that nobody has claimed yet.
CREATE TABLE point (
    point_id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code            text NOT NULL UNIQUE,
    site_id         text REFERENCES site,
    kind            text NOT NULL,
    name_en         text,
    name_uk         text,
    interval_s      double precision NOT NULL,
    fraction        text,
    contractor_id   text REFERENCES contractor,
    bin_empty_mm    double precision,
    bin_full_mm     double precision,
    bin_volume_l    double precision,
    register_digits smallint,
    labels          jsonb NOT NULL DEFAULT '{}',
    retired         boolean NOT NULL DEFAULT false
);
CREATE INDEX point_site ON point (site_id);

CREATE TABLE device (
    device_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address       text NOT NULL UNIQUE,
    profile       text,
    state         text NOT NULL CHECK (state IN ('claimed', 'unclaimed', 'retired')),
    first_seen_at timestamptz,
    guess         jsonb NOT NULL DEFAULT '{}'
);

-- Which device measured which point, and when: history follows the point through a swap.
-- register_start and register_end are what the register showed when the meter came and went.
CREATE TABLE assignment (
    assignment_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id      integer NOT NULL REFERENCES device,
    point_id       integer NOT NULL REFERENCES point,
    channel        text NOT NULL DEFAULT '',
    valid_from     timestamptz NOT NULL DEFAULT '-infinity',
    valid_to       timestamptz NOT NULL DEFAULT 'infinity',
    register_start double precision,
    register_end   double precision,
    CHECK (valid_from < valid_to),
    UNIQUE (device_id, channel, valid_from)
);
CREATE INDEX assignment_point ON assignment (point_id, valid_from);

-- Written every few seconds by ingest, outside of the batch's transaction.
CREATE TABLE device_status (
    device_id        integer PRIMARY KEY REFERENCES device,
    last_received_at timestamptz NOT NULL,
    last_event_at    timestamptz,
    message_count    bigint NOT NULL DEFAULT 0,
    envelope         text,
    unknown_fields   text[] NOT NULL DEFAULT '{}'
);
