-- A bin's shape and its sensor's blind zone.
ALTER TABLE point ADD COLUMN bin_blind_mm double precision;
ALTER TABLE point ADD COLUMN bin_shape text CHECK (bin_shape IN ('prism', 'tapered', 'cylinder', 'sphere'));
ALTER TABLE point ADD COLUMN bin_floor_width_pct double precision;
