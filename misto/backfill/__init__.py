"""History from files into the database: `misto import` (docs/import.md)."""
