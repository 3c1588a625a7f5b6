"""`python -m trainer`: the same commands as `sysscan-train`, as torchrun starts them."""

from trainer.cli.app import main

main()
