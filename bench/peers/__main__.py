"""`python -m bench.peers`."""

from bench.peers.run import main

main()
