"""`python -m services.warehouse`: keeps a reader for each topic of a warehouse source."""

from services.warehouse.app import command

command()
