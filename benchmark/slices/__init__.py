"""Where a model fails: accuracy by brightness, contrast, sharpness and original size of the images."""
