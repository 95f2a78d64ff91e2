"""What an event costs ingest, beside a bare aiohttp echo in the same run."""
