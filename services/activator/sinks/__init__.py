"""Ways out that are no HTTP: a topic, files, a database."""
