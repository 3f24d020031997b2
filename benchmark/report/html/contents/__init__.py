"""What a page holds: models and their predictions, pairs, galleries with their pictures, confidence, speed."""
