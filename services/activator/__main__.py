"""`python -m services.activator router | sender ID | senders`."""

from services.activator.app import command

command()
