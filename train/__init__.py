"""Recipes and the two training commands: `python -m train.torch_resnet` and `python -m train.tf_resnet`."""
