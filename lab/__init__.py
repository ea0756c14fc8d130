"""Real parts for tests, demo and benchmarks: a Docker Engine, a registry, images, load, GitHub's deliveries.

Not part of the product and not in the wheel. Everything here starts what it needs and stops what it started.
"""
