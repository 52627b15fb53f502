"""Training samples: where sharp pictures and pairs come from, and how batches of them are made. No networks here."""
