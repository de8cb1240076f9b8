"""Flower behind our sign-in: who may ask it what (`rules.py`), and passing that on.

Flower runs as a process of its own and listens for us alone. What it answers is passed on as it
comes; its cookies, its password and its name for its own server stay here.
"""
