"""The shared language: topics, records and their encoding; everything else imports this."""
