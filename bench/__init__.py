"""Measurements that are run by hand; the tests run small, seeded shares of some of them."""
