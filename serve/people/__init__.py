"""For people: a page to try the models, `POST /predict` for image files, and the description of the whole API."""
