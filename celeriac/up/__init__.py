"""One machine, one command: the broker, the programs and their first start.

This room starts processes and watches them. It knows their command lines and how to ask each
whether it is ready; what they do inside it never hears of.
"""
