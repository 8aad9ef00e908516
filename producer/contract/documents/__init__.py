"""The contract as documents for other languages, made from the code: JSON Schema, AsyncAPI and the tables of its page.

Only ``python -m producer.contract`` and the tests import this package.
"""
