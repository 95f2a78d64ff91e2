"""Identity: joins each event to the one profile of the person it is about."""
