"""The HTTP service: the only room that knows FastAPI and Starlette."""
