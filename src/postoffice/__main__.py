"""`python -m postoffice` is `postoffice`."""

from postoffice.cli.main import main

main()
