"""What Prometheus scrapes and when it raises an alarm; and the page that explains both."""
