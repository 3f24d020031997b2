"""`python -m train.bench`: training speed against a plain notebook loop."""
