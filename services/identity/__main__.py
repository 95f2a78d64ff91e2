"""`python -m services.identity`: one worker of the identity stage."""

from services.identity.app import main

main()
