"""Grafana dashboards as code: `misto dashboards build` writes json/, which Grafana is provisioned from."""
