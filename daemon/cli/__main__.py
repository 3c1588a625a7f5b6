"""`python -m daemon.cli`: the command line without an installed script."""

from daemon.cli.app import main

main()
