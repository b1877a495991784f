"""Speed on this machine: `make bench`, or `python -m bench [--quick] [NAME …]`."""
