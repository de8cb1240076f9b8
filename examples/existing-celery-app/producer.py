"""A plain producer: a process that sends tasks and waits for their results with Celery alone."""

import json
import sys
import time

from celery import chain, chord, group

from shop import ask_the_carrier, charge, pack, refuse, send, total


def watch(result, state):
    """Return whether a task is seen in a state before it has ended."""
    while not result.ready():
        if result.state == state:
            return True
        time.sleep(0.01)
    return False


def main():
    charges = group(charge.s(number, number * 100) for number in range(1, 6)).apply_async()
    shipping = chain(charge.s(7, 700), pack.s(), send.s("Paris")).apply_async()
    later = charge.apply_async((8, 800), countdown=0.5)
    asked = ask_the_carrier.delay("parcel of 7")
    is_seen_again = watch(asked, "RETRY")
    long = charge.delay(10, 1000, seconds=1)
    is_seen_begun = watch(long, "STARTED")
    refused = refuse.delay(9)
    bill = chord(charge.s(number, number) for number in range(11, 21))(total.s())
    nested = chord([group(charge.s(21, 1), charge.s(22, 2)), charge.s(23, 3)])(total.s())
    unpaid = chord([charge.s(24, 4), refuse.s(25)])(total.s())
    regretted = charge.apply_async((26, 5), countdown=5)
    asked.get(timeout=30)
    regretted.revoke()
    results = {
        "charges": charges.get(timeout=30),
        "shipping": shipping.get(timeout=30),
        "later": later.get(timeout=30),
        "asked": asked.get(timeout=30),
        "refused": repr(refused.get(timeout=30, propagate=False)),
        "bill": bill.get(timeout=30),
        "nested": nested.get(timeout=30),
        "unpaid": type(unpaid.get(timeout=30, propagate=False)).__name__,
        "regretted": repr(regretted.get(timeout=30, propagate=False)),
        "seen": [is_seen_again, is_seen_begun],
        "states": [shipping.state, shipping.parent.state, refused.state],
        "unknown": charge.AsyncResult("nobody-knows-this").state,
    }
    json.dump(results, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
