"""`trait`: the current value of a trait, and how long it has been so."""
