"""The delivery proof: numbered messages at a rate while things break, then an account of each (docs/delivery.md)."""
