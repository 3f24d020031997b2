"""`python -m train.bench`: training speed compared with a plain notebook loop."""
