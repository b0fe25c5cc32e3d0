"""Write a dbt project for one account. Its files are in `templates`."""
