"""All that this package uses below the public face of Ray, Optuna and MLflow: a file for each.

At the bottom of the layers: no other module of ``study`` is imported here, and a library's private
names are used nowhere else. `ray` is for ``study.backend`` alone.

``tests/study/test_private_apis.py`` says in one run which of the names a new version took away.
"""
