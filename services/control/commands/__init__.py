"""One file a command: its parameters and help. What it does is in the modules above."""
