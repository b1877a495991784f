"""The quarantine: messages that could not be read are replayed, and kept within their limits."""
