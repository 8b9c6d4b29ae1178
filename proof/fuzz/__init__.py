"""Octets that nobody thought of, for the machines that read what strangers send.

A target is a function of octets that raises where something is wrong: an exception of the machine, memory that grows
with the input, a line that is answered twice or not at all, or another conversation because the octets were cut
otherwise. `python -m proof.fuzz` drives the targets by coverage; a twin in the tests drives them by Hypothesis.
"""
