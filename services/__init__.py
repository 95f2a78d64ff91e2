"""The services of Afflux; they meet only on topics."""
