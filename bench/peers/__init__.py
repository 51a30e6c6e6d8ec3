"""What a user would build instead, each as its documentation shows, and a run of all.

`make bench`, or `python -m bench.peers --help`. Each peer is one file to read; the numbers in it
that look like a choice are one, and `python -m bench.peers --tune` shows what the others give.
"""
