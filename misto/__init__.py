"""The command line, settings, the embedded runtime and the doctor."""
