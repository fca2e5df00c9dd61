"""Images: data sets, augmentation, batches."""
