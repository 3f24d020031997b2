"""Images that are read one part after another: those packed into large files, and decoding in processes beside what uses them."""
