"""Data sets by name or folder, their splits and fingerprints.

    from data import open_dataset
    test = open_dataset("digits").official("test")  # an ImageSet: uint8 RGB, (n_images, height, width, 3)

The images themselves lie beside this code, ignored by git (`data/cifar-10-batches-py/`).
"""

from data.catalog import DEFAULT_DATASET, Dataset, open_dataset

__all__ = ["DEFAULT_DATASET", "Dataset", "open_dataset"]
