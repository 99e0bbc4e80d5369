"""`python -m hawsepipe` is `hawsepipe`."""

from hawsepipe.cli import main

main()
