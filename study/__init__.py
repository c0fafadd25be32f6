"""A hyperparameter study platform around RefineVAD: Optuna proposes, Ray Tune runs, MLflow shows.

Nothing here imports Ray, Optuna, MLflow or torch, so that every command answers at once.
"""
