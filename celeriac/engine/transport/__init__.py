"""Our Redis transport: kombu's, popping many messages in one step that also parks them.

Keys and message format stay kombu's, so that plain Celery producers, Flower and remote control go
on working. What differs is how a consumer takes messages: kombu pops one and records it in a
second command, and what is popped when the process dies in between is lost; here one script pops
as many as the consumer has room for and parks them in the same step.
"""
