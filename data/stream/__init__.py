"""Images read one part after another: from packed files, and decoded in other processes while the caller uses them."""
