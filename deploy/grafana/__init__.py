"""The dashboard of the flow, generated from a table, and how Grafana is given it."""
