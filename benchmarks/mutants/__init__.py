"""Mutation testing: small mistakes are put into a copy of the code, one at a time; the tests must notice each."""
