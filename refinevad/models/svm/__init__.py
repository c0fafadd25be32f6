"""A linear SVM on mean features of videos."""
