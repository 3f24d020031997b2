"""Test images made worse on purpose: our own corruptions, and the published files of CIFAR-10-C."""
