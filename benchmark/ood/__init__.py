"""Foreign images: is a model less sure of images that show none of its classes?"""
