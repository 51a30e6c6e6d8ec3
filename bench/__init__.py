"""Side-by-side measurements, run by hand: `python -m bench.NAME`; the tests never run them."""
