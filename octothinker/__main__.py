"""`python -m octothinker` is `octo`; under torchrun: `torchrun --nproc-per-node 8 -m octothinker run RECIPE`."""

from octothinker.cli.app import main

main()
