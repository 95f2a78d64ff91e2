"""`first` and `last`: a property of the earliest or latest such event ever."""
