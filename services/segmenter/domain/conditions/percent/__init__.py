"""`percent`: a fixed share of all profiles, by a hash of the profile's id."""
