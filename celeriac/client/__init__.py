"""What users import to call a service: the only room that knows httpx."""
