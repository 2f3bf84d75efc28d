"""Labels, images, augmentation and synthetic people; no torch."""
