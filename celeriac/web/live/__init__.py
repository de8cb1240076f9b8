"""Telling browsers and programs what happens, as Server-Sent Events.

One hub listens and looks once for all who watch (`hub.py`). A watch is a place in what has
happened, not a queue of its own (`watch.py`): who reads slowly gets what is new in one word, later.
"""
