"""`python -m pipeline.cli`, as torchrun and temporary checkouts start the `gan` command."""

from pipeline.cli.main import main

main()
