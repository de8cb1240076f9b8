"""The pages for people: rendered by the server, complete without JavaScript.

What a page shows is shaped by pure functions (`pages.py`, `texts.py`, `forms.py`, `answers.py`); a
route reads, asks the service once and renders.
"""
