"""Where a model fails: accuracy by brightness, contrast and sharpness of the images."""
