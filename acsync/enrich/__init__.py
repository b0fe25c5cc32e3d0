"""Join records to what explains them, and write them as they are stored."""
