"""The HTTP service: the only room that knows FastAPI and Starlette."""

from fastapi import utils

# FastAPI asks of the models of every route whether they are pydantic 1's, only to say that it takes
# none of those, and imports all of pydantic 1 to know: a fifteenth of a start. Ours are not.
vars(utils)["annotation_is_pydantic_v1"] = lambda _: False
