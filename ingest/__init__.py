"""MQTT to readings: session with the broker, envelopes, device profiles, batches, quarantine."""
