"""Celery apps as users write them."""
